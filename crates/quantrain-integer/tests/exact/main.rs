//! The integer program against the engine's simulation, code for code, at every quantized tensor.
//!
//! | module | what is compared |
//! |---|---|
//! | `graphs` | random small networks of every operator, every target, 4, 8 and 16 bits |
//! | `networks` | the networks of ../shared/models |
//! | `wide` | 16 bits by 16 bits, with sums of 128 bits |
//! | `bias_limit` | biases of 16 bits: simulation, integers, exported file and specification |
//! | `padding` | fills that no code stands for |
//! | `formulas` | the fixed-point formula: never more than one code from the float one |

mod bias_limit;
mod compare;
mod formulas;
mod generate;
mod graphs;
mod networks;
mod padding;
mod random;
mod wide;
