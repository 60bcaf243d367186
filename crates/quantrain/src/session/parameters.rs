//! Float masters as the caller sees them: names and shapes of the file.

use quantrain_engine::ParameterLayout;

use super::{Session, SessionError, Tensor};
use crate::RunError;
use crate::recipe::nearest;

/// A parameter: its place in memory, and how that is read in ONNX's order.
#[derive(Debug)]
pub struct SessionParameter<'s> {
    /// Name, shape, and the strides of its axes in `value` and `gradient`: weights of convolutions have their inputs innermost.
    pub layout: ParameterLayout,
    /// The float master.
    pub value: &'s mut [f32],
    /// Its gradient by the last backward.
    pub gradient: &'s [f32],
}

impl SessionParameter<'_> {
    /// The value in ONNX's order.
    pub fn tensor(&self) -> Tensor {
        Tensor { shape: self.layout.shape.clone(), values: self.layout.to_onnx_order(self.value) }
    }

    /// The gradient in ONNX's order.
    pub fn gradient_tensor(&self) -> Tensor {
        Tensor { shape: self.layout.shape.clone(), values: self.layout.to_onnx_order(self.gradient) }
    }
}

impl Session {
    /// Every trained tensor, in the order of the graph. Their place in memory stays for as long as the session does.
    ///
    /// # Errors
    /// Layers get a BatchNormalization when the network is calibrated, which it is not yet.
    pub fn parameters(&mut self) -> Result<Vec<SessionParameter<'_>>, RunError> {
        self.check_restored()?;
        let layouts = self.network.parameter_layouts();
        let parameters = layouts.into_iter().zip(self.network.parameters());
        Ok(parameters.map(|(layout, p)| SessionParameter { layout, value: p.value, gradient: p.gradient }).collect())
    }

    /// The running statistics of every BatchNormalization by name. Their place in memory stays for as long as the session does.
    ///
    /// # Errors
    /// As [`Session::parameters`].
    pub fn statistics(&mut self) -> Result<Vec<(&str, &mut [f32])>, RunError> {
        self.check_restored()?;
        Ok(self.network.statistics())
    }

    fn check_restored(&self) -> Result<(), SessionError> {
        match self.layers_to_restore() {
            0 => Ok(()),
            layers => Err(SessionError::NotRestored { layers }),
        }
    }

    /// Copies of all parameters and running statistics, in ONNX's order, by the names of the file.
    ///
    /// # Errors
    /// As [`Session::parameters`].
    pub fn masters(&mut self) -> Result<Vec<(String, Tensor)>, RunError> {
        let mut all: Vec<(String, Tensor)> = self.parameters()?.iter().map(|p| (p.layout.name.clone(), p.tensor())).collect();
        let tensor = |values: &[f32]| Tensor { shape: vec![values.len()], values: values.to_vec() };
        all.extend(self.statistics()?.into_iter().map(|(name, values)| (name.to_owned(), tensor(values))));
        Ok(all)
    }

    /// Writes a parameter or statistic, given in ONNX's order.
    ///
    /// # Errors
    /// There is none of this name, or it has another shape.
    pub fn set_master(&mut self, name: &str, tensor: &Tensor) -> Result<(), RunError> {
        let wrong = |shape: &[usize]| SessionError::Shape {
            what: format!("`{name}`"),
            found: tensor.shape.clone(),
            expected: format!("{shape:?}"),
        };
        let mut names = Vec::new();
        for parameter in self.parameters()? {
            if parameter.layout.name != name {
                names.push(parameter.layout.name);
                continue;
            }
            if parameter.layout.shape != tensor.shape || tensor.values.len() != parameter.value.len() {
                return Err(wrong(&parameter.layout.shape).into());
            }
            parameter.layout.write_onnx_order(&tensor.values, parameter.value);
            return Ok(());
        }
        for (statistic, values) in self.statistics()? {
            if statistic != name {
                names.push(statistic.to_owned());
                continue;
            }
            if tensor.shape != [values.len()] || tensor.values.len() != values.len() {
                return Err(wrong(&[values.len()]).into());
            }
            values.copy_from_slice(&tensor.values);
            return Ok(());
        }
        let meant = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
        Err(SessionError::UnknownParameter { name: name.into(), meant }.into())
    }
}
