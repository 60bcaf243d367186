//! Memory of tensors, used again as soon as nothing reads it.

/// What a tensor's memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stored codes of up to 8 bits.
    Bytes,
    /// Stored codes of 16 bits.
    Words,
    /// Real values.
    Reals,
}

/// The memory of a tensor; it may be longer than the tensor.
#[derive(Debug)]
pub(crate) enum Buffer {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    Reals(Vec<f32>),
}

/// A tensor to read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Bytes(&'a [u8]),
    Words(&'a [u16]),
    Reals(&'a [f32]),
}

impl Buffer {
    pub fn new(kind: Kind, len: usize) -> Self {
        match kind {
            Kind::Bytes => Buffer::Bytes(vec![0; len]),
            Kind::Words => Buffer::Words(vec![0; len]),
            Kind::Reals => Buffer::Reals(vec![0.0; len]),
        }
    }

    pub fn view(&self, len: usize) -> View<'_> {
        match self {
            Buffer::Bytes(x) => View::Bytes(&x[..len]),
            Buffer::Words(x) => View::Words(&x[..len]),
            Buffer::Reals(x) => View::Reals(&x[..len]),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Buffer::Bytes(_) => Kind::Bytes,
            Buffer::Words(_) => Kind::Words,
            Buffer::Reals(_) => Kind::Reals,
        }
    }

    fn len(&self) -> usize {
        match self {
            Buffer::Bytes(x) => x.len(),
            Buffer::Words(x) => x.len(),
            Buffer::Reals(x) => x.len(),
        }
    }
}

/// Buffers that no tensor uses now.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<Buffer>);

impl Pool {
    /// The smallest idle buffer of at least `len` elements, or a new one.
    pub fn take(&mut self, kind: Kind, len: usize) -> Buffer {
        let fits = self.0.iter().enumerate().filter(|(_, b)| b.kind() == kind && b.len() >= len);
        match fits.min_by_key(|(_, b)| b.len()).map(|(i, _)| i) {
            Some(i) => self.0.swap_remove(i),
            None => Buffer::new(kind, len),
        }
    }

    pub fn put(&mut self, buffer: Buffer) {
        self.0.push(buffer);
    }
}
