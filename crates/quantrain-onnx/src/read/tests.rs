mod failures;
mod networks;
mod operators;
