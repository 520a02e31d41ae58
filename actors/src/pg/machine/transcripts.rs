//! Scripted transcripts.
