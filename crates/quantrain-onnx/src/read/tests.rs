mod failures;
mod foreign;
mod layers;
mod message;
mod networks;
mod operators;
mod quantizers;
