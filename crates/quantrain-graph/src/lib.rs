//! The intermediate representation: graph, operators, quantizers, targets, placement
