//! Small tensors in f64 and ONNX's axis order: what references compute with.

/// Row-major values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Tensor {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "values fill the shape {shape:?}");
        Tensor { shape: shape.to_vec(), data }
    }

    /// The tensor whose element at `index` is `f(index)`.
    pub fn from_fn(shape: &[usize], f: impl FnMut(&[usize]) -> f64) -> Self {
        let data = indices(shape).iter().map(Vec::as_slice).map(f).collect();
        Tensor::new(shape, data)
    }

    pub fn at(&self, index: &[usize]) -> f64 {
        self.data[self.offset(index)]
    }

    /// The element at `index`; `None` outside.
    pub fn get(&self, index: &[isize]) -> Option<f64> {
        let inside: Option<Vec<usize>> = index.iter().zip(&self.shape).map(|(&i, &n)| usize::try_from(i).ok().filter(|&i| i < n)).collect();
        inside.map(|index| self.at(&index))
    }

    pub fn offset(&self, index: &[usize]) -> usize {
        assert_eq!(index.len(), self.shape.len());
        index.iter().zip(&self.shape).fold(0, |at, (&i, &n)| at * n + i)
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Tensor {
        Tensor { shape: self.shape.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }

    /// The values as the engine's memory holds them.
    pub fn to_memory(&self) -> Vec<f32> {
        places_in_memory(&self.shape).iter().map(|&i| self.data[i] as f32).collect()
    }
}

/// Every index of a shape, in order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape
        .iter()
        .fold(vec![Vec::new()], |all, &n| all.iter().flat_map(|index| (0..n).map(move |i| [index.as_slice(), &[i]].concat())).collect())
}

/// For each place in the engine's memory (images NHWC), the place in ONNX's order (NCHW).
pub fn places_in_memory(shape: &[usize]) -> Vec<usize> {
    let &[n, c, h, w] = shape else { return (0..shape.iter().product()).collect() };
    let mut places = Vec::with_capacity(n * c * h * w);
    for n in 0..n {
        for y in 0..h {
            for x in 0..w {
                places.extend((0..c).map(|ch| ((n * c + ch) * h + y) * w + x));
            }
        }
    }
    places
}
