//! A training loop of one's own: `custom_loop MODEL.onnx OUT.onnx` trains a network of images to imitate itself in float, without labels.
//!
//! ```text
//! cargo run --release -p quantrain --example custom_loop -- examples/fashion-mnist/fashion_mobilenet.onnx /tmp/model.qdq.onnx
//! ```

use std::error::Error;

use quantrain::optimizer::{Adam, Optimizer, Rule};
use quantrain::recipe::RecipeFile;
use quantrain::{Pass, Session, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let (model, out) = std::env::args_os().nth(1).zip(std::env::args_os().nth(2)).ok_or("usage: custom_loop MODEL.onnx OUT.onnx")?;
    let mut settings = RecipeFile { model: Some(model.into()), target: Some("tidl-pow2".into()), ..RecipeFile::default() };
    settings.quantization.weight_bits = Some(4);
    let mut session = Session::open(settings.try_into()?)?;
    let input = session.inputs()[0].clone();
    let images: Vec<Tensor> = (0..8).map(|seed| noise(input.shape.at(16), seed)).collect();
    session.calibrate(|| images.iter().map(|x| vec![(input.name.as_str(), x.into())]))?;
    let taught: Vec<Tensor> = images
        .iter()
        .map(|x| Ok(session.forward(&[(&input.name, x.into())], Pass::Float)?.remove(0)))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let mut optimizer = Optimizer::new(Rule::Adam(Adam::default()), 0.0, None);
    for epoch in 0..10 {
        session.epoch(epoch, 10)?;
        let mut sum = 0.0;
        for (x, taught) in images.iter().zip(&taught) {
            let mut difference = session.forward(&[(&input.name, x.into())], Pass::Training)?.remove(0);
            difference.values.iter_mut().zip(&taught.values).for_each(|(y, t)| *y -= t);
            sum += difference.values.iter().map(|d| d * d / 2.0).sum::<f32>();
            session.backward(&[Some((&difference).into())])?;
            session.step(&mut optimizer, 1e-3)?;
        }
        println!("epoch {}: squared error {sum:.2}", epoch + 1);
    }
    println!("{:?}", session.export(out.as_ref())?);
    Ok(())
}

/// Values between 0 and 1 from a linear congruential generator.
fn noise(shape: Vec<usize>, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    Tensor { values: (0..shape.iter().product()).map(|_| next()).collect(), shape }
}
