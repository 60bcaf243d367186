//! Dataset readers, preprocessing, augmentation and batching
