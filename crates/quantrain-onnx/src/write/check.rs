//! A file is looked at once more before it appears: what a runtime would refuse must not leave the house.

use std::collections::HashSet;

use super::error::WriteError;
use crate::proto::GraphProto;

/// Names are distinct, and everything that is read is defined before it.
///
/// # Errors
/// They are not, or something is not.
pub(super) fn check(graph: &GraphProto) -> Result<(), WriteError> {
    let mut defined = HashSet::new();
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let initializers = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    for tensor in inputs.chain(initializers) {
        define(&mut defined, tensor)?;
    }
    let mut names = HashSet::new();
    for node in &graph.node {
        let name = node.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            return Err(WriteError::Broken { what: format!("two nodes are called `{name}`") });
        }
        if let Some(tensor) = node.input.iter().find(|input| !input.is_empty() && !defined.contains(input.as_str())) {
            return Err(WriteError::Broken { what: format!("node `{name}` reads `{tensor}`, which nothing before it writes") });
        }
        for tensor in node.output.iter().filter(|output| !output.is_empty()) {
            define(&mut defined, tensor)?;
        }
    }
    let missing = graph.output.iter().filter_map(|output| output.name.as_deref()).find(|output| !defined.contains(output));
    missing.map_or(Ok(()), |output| Err(WriteError::Broken { what: format!("nothing writes the output `{output}`") }))
}

fn define<'g>(defined: &mut HashSet<&'g str>, tensor: &'g str) -> Result<(), WriteError> {
    if defined.insert(tensor) { Ok(()) } else { Err(WriteError::Broken { what: format!("tensor `{tensor}` is written twice") }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::ModelFixture;

    fn problem(mut model: ModelFixture) -> String {
        check(model.graph()).unwrap_err().to_string()
    }

    #[test]
    fn what_a_runtime_would_refuse_is_found() {
        let model = || ModelFixture::new(13, &[0, 4]).node("Relu", &["x"], "a", vec![]);
        assert!(check(model().output("a").graph()).is_ok());
        assert!(problem(model().output("b")).contains("the output `b`"));
        assert!(problem(model().node("Neg", &["c"], "b", vec![]).node("Abs", &["b"], "c", vec![])).contains("node `b` reads `c`"));
        assert!(problem(model().floats("a", &[1], &[0.0])).contains("tensor `a` is written twice"));
        let mut twice = model().node("Neg", &["a"], "b", vec![]);
        twice.graph().node[1].name = Some("a".into());
        assert!(problem(twice).contains("two nodes are called `a`"));
    }
}
