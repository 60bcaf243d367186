//! The command `quantrain`.

fn main() {}
