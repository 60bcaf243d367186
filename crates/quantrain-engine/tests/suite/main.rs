//! The engine against plain references in f64.
//!
//! | module | what meets what |
//! |---|---|
//! | `problem` | every operator, on every executor: values, and gradients against finite differences |
//! | `block` | every block type × gradient path × BatchNorm mode × activation × target: gradients, values, running statistics |
//! | `exact` | simulated evaluations against integer arithmetic, code for code |
//! | `straight_through` | values to the bit, and what the backward skips |
//! | `inputs` | gradients of inputs against their formula |
//! | `layouts` | parameters in ONNX's order against the graph's |
//! | `lookup` | tables that fed indices pick from: values and gradients |
//! | `monitor` | what observers are shown |
//! | `plan` | what a plan prints, and that neither a second run nor another thread changes a bit |
//! | `refusal` | what the engine cannot run is an error, never a wrong number |
//! | `shared_constant` | what two layers share is stored as it runs |

mod block;
mod exact;
mod executor;
mod inputs;
mod layouts;
mod lookup;
mod monitor;
mod plan;
mod problem;
mod random;
mod refusal;
mod shared_constant;
mod straight_through;
mod tally;
mod tensor;
