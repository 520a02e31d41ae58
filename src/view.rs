//! What people see: pure functions from facts to text.

pub(crate) mod history;
pub(crate) mod members;
mod quantity;
pub(crate) mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

use comfy_table::{ContentArrangement, Table, presets};

/// A table without lines, as command-line tools print them.
fn plain_table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
