//! The reference networks.

use quantrain_graph::{Op, Shape, Target};

use crate::fixture::network;

#[test]
fn the_reference_networks_are_read_whole() {
    // Network, nodes, parameters, input, output.
    let expected: [(&str, usize, &[usize], &[usize]); 7] = [
        ("resnet20_cifar10.onnx", 73, &[3, 32, 32], &[10]),
        ("resnet8_cifar10_tiny.onnx", 29, &[3, 32, 32], &[10]),
        ("efficientnet_lite0.onnx", 143, &[3, 224, 224], &[1000]),
        ("mobilenet_v1_025_vww.onnx", 84, &[3, 96, 96], &[2]),
        ("fashion_mobilenet.onnx", 70, &[1, 28, 28], &[10]),
        ("camvid_mobile_unet_untrained.onnx", 124, &[3, 176, 240], &[11, 176, 240]),
        ("camvid_mobile_unet.onnx", 124, &[3, 176, 240], &[11, 176, 240]),
    ];
    for (name, nodes, input, output) in expected {
        let Some(graph) = network("the_reference_networks_are_read_whole", name) else { continue };
        assert_eq!(graph.nodes().len(), nodes, "{name}");
        assert_eq!(graph.opset, 17);
        let shape = |ids: &[quantrain_graph::TensorId]| graph.tensor(ids[0]).shape.clone();
        assert_eq!(shape(graph.inputs()), Shape::batched(input), "{name}");
        assert_eq!(shape(graph.outputs()), Shape::batched(output), "{name}");
        assert_eq!(graph.tensor(graph.inputs()[0]).name, "input");
        assert_eq!(graph.name, name.trim_end_matches(".onnx").trim_end_matches("_untrained"));
    }
}

#[test]
fn every_node_of_resnet20_has_an_integer_form() {
    let Some(graph) = network("every_node_of_resnet20_has_an_integer_form", "resnet20_cifar10.onnx") else { return };
    assert_eq!(graph.nodes().iter().filter(|n| matches!(n.op, Op::Convolution(_))).count(), 19);
    assert_eq!(graph.nodes()[0].name, "conv1");
    let net = quantrain_graph::QuantGraph::prepare(graph, Target::onnxruntime(), &Default::default()).unwrap();
    assert_eq!(net.float_nodes(), []);
}
