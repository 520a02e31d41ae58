use crate::scene::{Loss, Scene};
use anyhow::Result;

/// Aim: a server that hangs (its processes exist, connections are accepted, nothing is answered) is replaced.
/// Method: SIGSTOP every process of the primary's server and never continue them; Witch has to end them itself before the node can return.
#[tokio::test]
async fn a_hung_server_is_replaced_and_its_node_comes_back() -> Result<()> {
    let scene = Scene::open().await?;
    let primary = scene.cluster.primary().await?;
    let fault = chaos::live::now();
    scene.cluster.node(primary).stop_server()?;
    scene.await_successor(primary, fault).await?;
    scene.finish(Loss::AroundTheFault(fault)).await?;
    Ok(())
}
