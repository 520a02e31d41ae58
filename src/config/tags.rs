//! `[tags]`: what an operator says of this node's database.

use super::absent::refuse_text;
use super::reading::Reading;
use actors::model::Tags;

/// Reads the section.
pub(super) fn read(reading: &mut Reading) -> Tags {
    if reading.flag("tags.nosync") {
        let rule = "this version of witch replicates asynchronously: there is no synchronous mode to stay out of";
        reading.fault("tags.nosync", rule, "set it to false or remove it");
    }
    refuse_text(reading, "tags.replicatefrom", "this version of witch has no cascading replication yet: every standby follows the primary");
    Tags {
        nofailover: reading.flag("tags.nofailover"),
        noloadbalance: reading.flag("tags.noloadbalance"),
        failover_priority: reading.whole("tags.failover_priority", 100, 0..=u64::from(u32::MAX)),
    }
}
