use crate::scene::{Loss, Scene};
use anyhow::{Context, Result, ensure};
use chaos::live::Node;
use std::time::Duration;

/// Aim: leases do not care when somebody sets the clock of one node, forward or back by an hour.
/// Method: a shim that is preloaded into every process of the primary's node adds an offset to the time of day, as `date -s` would, and
/// leaves the other clocks alone. The offset is changed while everything runs; no statement fails and the primary stays.
#[tokio::test]
async fn setting_the_clock_of_the_primary_changes_nothing() -> Result<()> {
    let (scene, shim) = Scene::with_a_shimmed_primary().await?;
    for hours in [1, -1, 0] {
        shim.set_clock(hours * 3600)?;
        let seen = clock_of(scene.cluster.node(0)).await? - clock_of(scene.cluster.node(1)).await?;
        ensure!((seen - hours * 3600).abs() < 60, "the shim does not work: the clocks differ by {seen} s instead of {hours} h");
        let some_leases =
            scene.cluster.holds_for("the primary stays", Duration::from_secs(8), async || scene.cluster.nobody_else_is_appointed(0).await);
        some_leases.await?;
    }
    let uncertain = scene.writer.ledger().uncertain();
    ensure!(uncertain == 0, "{uncertain} statements failed");
    scene.finish(Loss::None).await?;
    Ok(())
}

/// Seconds since 1970 as the node's server sees them.
async fn clock_of(node: &Node) -> Result<i64> {
    let rows = node.query("SELECT extract(epoch FROM clock_timestamp())::bigint").await?;
    Ok(rows.first().and_then(|row| row.first()?.as_ref()).context("a row was expected")?.parse()?)
}
