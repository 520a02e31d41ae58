use crate::scene::{Loss, Scene};
use anyhow::{Result, ensure};
use chaos::live::{Disk, Folder};
use std::time::Duration;

/// Aim: a daemon that cannot write its log promises nothing more: it says why and ends, somebody else takes over, and with room on its disk it
/// comes back.
/// Method: every write in the folder of the primary's daemon fails with ENOSPC, and a switchover is asked for, which has to be written down.
/// Started while there is still no room, the daemon ends again with the reason; started afterwards, it follows.
#[tokio::test]
async fn a_daemon_whose_disk_is_full_says_so_and_ends_until_there_is_room() -> Result<()> {
    const LOG_LOST: i32 = 11;
    const NO_SPACE: &str = "No space left on device";
    let (scene, shim) = Scene::with_a_shimmed_primary().await?;
    let node = scene.cluster.node(0);
    shim.set_disk(Folder::Witch, Disk { full: true, sync_ms: 0 })?;
    let fault = chaos::live::now();
    let asked = scene.cluster.switchover(1, Some("n2"));
    let (_, ended) = tokio::join!(asked, node.await_exit(Duration::from_secs(20)));
    let status = ended?;
    ensure!(status.code() == Some(LOG_LOST) && node.log().contains(NO_SPACE), "the daemon ended with {status} and said\n{}", node.log());
    scene.await_successor(0, fault).await?;
    let before = node.log().matches(NO_SPACE).count();
    node.start()?;
    let status = node.await_exit(Duration::from_secs(10)).await?;
    ensure!(
        !status.success() && node.log().matches(NO_SPACE).count() > before,
        "without room it ended with {status} and said\n{}",
        node.log()
    );
    shim.set_disk(Folder::Witch, Disk::default())?;
    node.start()?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
