//! The daemon of a node.

use crate::config::Config;
use crate::exit::Failure;
use std::path::Path;

/// Runs this node until it is told to end.
pub(crate) fn run(config: Config, path: &Path) -> Result<(), Failure> {
    let (node, file) = (config.cluster.node, path.display());
    Err(anyhow::anyhow!("this build of witch has no daemon in it: node {node} of {file} is not started").into())
}
