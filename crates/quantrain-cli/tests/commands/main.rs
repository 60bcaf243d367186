//! The command `quantrain` as a user runs it: a process with arguments, an exit code, two streams and files.

mod bad_input;
mod faults;
mod fixture;
mod flags;
mod full_disk;
mod help;
mod hostile_folder;
mod interruption;
mod quantized_files;
mod reports;
mod subjects;
mod tasks;
mod worse;
