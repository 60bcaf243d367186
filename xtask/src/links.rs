//! `cargo xtask links`: every relative link in a page leads somewhere, and so does every path in backticks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths in backticks that begin so are of this repository.
const FOLDERS: [&str; 7] = ["crates/", "docs/", "examples/", "xtask/", "tests-python/", ".ci/", ".cargo/"];

/// Checks every page that git knows or would add.
pub fn run(root: &Path) -> Result<(), String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]).current_dir(root);
    let listed = command.output().map_err(|e| format!("git ls-files: {e}"))?;
    let pages = String::from_utf8_lossy(&listed.stdout).into_owned();
    let (mut broken, mut checked) = (Vec::new(), 0);
    for page in pages.lines() {
        let text = fs::read_to_string(root.join(page)).map_err(|e| format!("{page}: {e}"))?;
        for (line, target) in targets(&text) {
            checked += 1;
            if let Err(problem) = resolve(root, page, &target) {
                broken.push(format!("{page}:{line}: `{}`: {problem}", target.text()));
            }
        }
    }
    match &broken[..] {
        [] if checked == 0 => Err("no page with links or paths found".into()),
        [] => Ok(()),
        _ => Err(broken.join("\n")),
    }
}

/// What a page points to.
#[derive(Debug, PartialEq)]
enum Target {
    /// A link, relative to the page; an anchor may follow `#`.
    Link(String),
    /// A path in backticks, relative to the root.
    Path(String),
}

impl Target {
    fn text(&self) -> &str {
        let (Target::Link(text) | Target::Path(text)) = self;
        text
    }
}

/// Links and paths outside code blocks, with their lines.
fn targets(text: &str) -> Vec<(usize, Target)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        for (i, part) in content.split('`').enumerate() {
            if i % 2 == 1 {
                // `crates/<any>` and `{a,b}.rs` stand for several.
                let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
                if plain && FOLDERS.iter().any(|f| part.starts_with(f)) {
                    found.push((line, Target::Path(part.into())));
                }
                continue;
            }
            for (at, _) in part.match_indices("](") {
                let link = part[at + 2..].split(')').next().unwrap_or_default();
                if !link.contains("://") {
                    found.push((line, Target::Link(link.into())));
                }
            }
        }
    }
    found
}

/// Lines outside code blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((i + 1, line))
    })
}

fn resolve(root: &Path, page: &str, target: &Target) -> Result<(), String> {
    let (path, anchor): (PathBuf, &str) = match target {
        Target::Path(path) => (root.join(path), ""),
        Target::Link(link) => {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(page).parent().unwrap_or(Path::new(""));
            (if file.is_empty() { root.join(page) } else { root.join(folder).join(file) }, anchor)
        }
    };
    if !path.exists() {
        return Err("no such file".into());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(&path).map_err(|e| e.to_string())?;
    if anchors(&text).contains(anchor) { Ok(()) } else { Err(format!("no heading for #{anchor}")) }
}

/// The anchors of a page's headings: lower case, words joined by `-`, punctuation left out.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let keep = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    headings.map(|heading| heading.trim().chars().filter_map(keep).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Why `so`?\n\
        See [a](b.md), [`c`](d.md#e) and [the web](https://example.com); `crates/x/src/y.rs`, `crates/<any>/y.rs`.\n\
        ```\n# not a heading\n[no](link)\n```\n## Two words\n";

    #[test]
    fn links_and_paths_are_found_outside_code_blocks() {
        let link = |line, text: &str| (line, Target::Link(text.into()));
        let expected = [link(2, "b.md"), link(2, "d.md#e"), (2, Target::Path("crates/x/src/y.rs".into()))];
        assert_eq!(targets(PAGE), expected);
    }

    #[test]
    fn headings_have_anchors() {
        assert_eq!(anchors(PAGE), BTreeSet::from(["why-so".into(), "two-words".into()]));
    }

    #[test]
    fn a_link_to_nothing_is_broken() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let link = |text: &str| resolve(&root, "docs/page.md", &Target::Link(text.into()));
        assert_eq!(link("recipe.md"), Ok(()));
        assert_eq!(link("recipe.md#before-the-first-table"), Ok(()));
        assert!(link("recipe.md#after-the-last-table").is_err());
        assert!(link("recipes.md").is_err());
    }
}
