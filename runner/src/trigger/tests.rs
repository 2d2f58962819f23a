//! Triggers in memory.
