mod failures;
mod foreign;
mod layers;
mod logic;
mod message;
mod networks;
mod operators;
mod quantizers;
