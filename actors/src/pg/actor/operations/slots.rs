//! Replication slots: which to make, to drop and to move.
