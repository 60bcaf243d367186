//! Prints docs/recipe.md.

fn main() {
    print!("{}", quantrain::recipe::reference());
}
