//! What the adapter does, order by order and situation by situation.

use super::world::*;
use super::*;
use crate::model::{Directory, Epoch, Lsn, Timeline};
use crate::pg::{Fork, Outcome, Stopped, Upkeep, Upstream};
use core::time::Duration;

mod change;
mod follow;
mod found;
mod lead;
mod stop;
mod watch;
