//! A decoded file on its way to the reader: functions and names are put right before any operator is looked at.

pub(super) mod external;
pub(super) mod functions;
pub(super) mod live;
pub(super) mod memory;
pub(super) mod names;
pub(super) mod order;
