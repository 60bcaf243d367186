mod failures;
mod foreign;
mod layers;
mod networks;
mod operators;
