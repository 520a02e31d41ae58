//! The tests' own instruments are tested, too: a watch that cannot see a split brain would make every other test worthless.

use crate::scene::{programs, seat};
use anyhow::{Result, ensure};
use chaos::live::{Cluster, SplitBrainWatch};

/// Aim: the watch catches two databases that accept writes at once.
/// Method: two clusters of one node each, which know nothing of each other, are passed off as one cluster; both accept writes on timeline 1.
#[tokio::test]
async fn the_watch_sees_two_writers() -> Result<()> {
    let _seat = seat().await;
    let one = Cluster::builder(programs()?).nodes(1).start().await?;
    let other = Cluster::builder(programs()?).nodes(1).start().await?;
    let mut targets = one.targets();
    targets.extend(other.targets().into_iter().map(|mut target| {
        target.node = actors::model::NodeId(2);
        target
    }));
    // The watch makes its table where the first writes are accepted; here that is not all.
    drop(SplitBrainWatch::start(other.targets()).await?);
    let watch = SplitBrainWatch::start(targets).await?;
    let caught = one.wait_until("the watch to notice", crate::scene::TAKE_OVER, async || {
        ensure!(watch.verdict().is_err(), "it has not noticed yet");
        ensure!(!watch.violations().is_empty(), "it has seen no writes yet");
        Ok(())
    });
    caught.await
}
