mod failures;
mod foreign;
mod networks;
mod operators;
