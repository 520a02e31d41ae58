use crate::scene::{HEAL, Loss, Scene};
use anyhow::{Result, ensure};
use chaos::live::Cut;
use std::time::Duration;

/// Aim: a standby that is cut off disturbs no client, neither when it goes (it may be the Raft leader) nor when it returns.
/// Method: cut it from everybody for several election time-outs, heal; no statement fails and the primary stays.
#[tokio::test]
async fn a_standby_that_is_cut_off_disturbs_no_client() -> Result<()> {
    let Some(scene) = Scene::on_hosts().await? else { return Ok(()) };
    let primary = scene.cluster.primary().await?;
    let standby = scene.cluster.standby().await?;
    scene.cluster.network()?.cut(standby, Cut::FromEverybody)?;
    let several_elections = scene
        .cluster
        .holds_for("the primary stays", Duration::from_secs(10), async || scene.cluster.nobody_else_is_appointed(primary).await);
    several_elections.await?;
    scene.cluster.network()?.heal()?;
    let settled = scene.cluster.await_settled(HEAL).await?;
    ensure!(settled == primary, "the primary moved to n{}", settled + 1);
    let uncertain = scene.writer.ledger().uncertain();
    ensure!(uncertain == 0, "{uncertain} statements failed");
    scene.finish(Loss::None).await?;
    Ok(())
}
