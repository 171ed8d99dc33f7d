//! Reads the pages of the documentation: which code runs where, and what it prints.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Scripts that run together, a process each.
#[derive(Debug, Default)]
pub(crate) struct Example {
    pub(crate) parts: Vec<Part>,
}

/// One process of an example.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) role: String,
    /// A whole script.
    pub(crate) code: String,
    /// In a project without the addon.
    pub(crate) stock: bool,
    /// What the script sees on its command line.
    pub(crate) arguments: Vec<String>,
    /// Lines that it must print; `…` stands for any text.
    pub(crate) prints: Vec<String>,
}

/// All examples of a page by their names.
///
/// `<!-- run: EXAMPLE ROLE [stock] [args=A,B] -->` before a block of GDScript says that it is a process of an example,
/// several such lines that it is several. A block without one is an example of its own. A block of statements is
/// wrapped into a script. `<!-- prints: EXAMPLE ROLE -->` before a block of text says what must be printed.
pub(crate) fn read(text: &str) -> Result<BTreeMap<String, Example>> {
    let mut examples: BTreeMap<String, Example> = BTreeMap::new();
    let mut marks: Vec<(usize, &str, &str)> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        if let Some(mark) = line.trim().strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            if let Some((kind @ ("run" | "prints"), words)) = mark.split_once(": ") {
                marks.push((number, kind, words));
            }
            continue;
        }
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                ensure!(marks.is_empty(), "line {number}: there is no block of code after the comment");
            }
            continue;
        };
        let mut block = String::new();
        loop {
            let (_, line) =
                lines.next().with_context(|| format!("the block in line {number} does not end"))?;
            if line == "```" {
                break;
            }
            block += line;
            block.push('\n');
        }
        let own = format!("line{number}");
        match (language, &marks[..]) {
            ("gdscript", []) => {
                let part = Part { role: "main".to_owned(), code: whole(&block), ..Part::default() };
                examples.entry(own).or_default().parts.push(part);
            }
            (_, []) => {}
            ("gdscript", marks) => {
                for (number, kind, words) in marks {
                    ensure!(*kind == "run", "line {number}: a script prints nothing by itself");
                    let (name, part) = part(words, &block).with_context(|| format!("line {number}"))?;
                    examples.entry(name).or_default().parts.push(part);
                }
            }
            ("text", [(number, "prints", words)]) => {
                let part = words.split_once(' ').and_then(|(name, role)| {
                    examples.get_mut(name)?.parts.iter_mut().find(|part| part.role == role)
                });
                let part =
                    part.with_context(|| format!("line {number}: nothing before runs as {words:?}"))?;
                part.prints.extend(block.lines().map(str::to_owned));
            }
            _ => bail!("line {number}: this block can be neither run nor printed"),
        }
        marks.clear();
    }
    for example in examples.values_mut() {
        // Whoever joins wants somebody to join.
        example.parts.sort_by_key(|part| part.role != "server");
    }
    Ok(examples)
}

fn part(words: &str, block: &str) -> Result<(String, Part)> {
    let mut words = words.split_whitespace();
    let (Some(name), Some(role)) = (words.next(), words.next()) else { bail!("run: EXAMPLE ROLE") };
    let mut part = Part { role: role.to_owned(), code: whole(block), ..Part::default() };
    for word in words {
        match word.split_once('=') {
            None if word == "stock" => part.stock = true,
            Some(("args", list)) => part.arguments = list.split(',').map(str::to_owned).collect(),
            _ => bail!("{word:?} is not known here"),
        }
    }
    Ok((name.to_owned(), part))
}

/// The doc comments of a Rust file, which become the editor's help, as a page.
pub(crate) fn of_comments(source: &str) -> String {
    let comments = source.lines().map(|line| {
        let Some(text) = line.trim_start().strip_prefix("///") else { return "" };
        text.strip_prefix(' ').unwrap_or(text)
    });
    let mut page = String::new();
    for line in comments {
        // The help shows tabs wide; an example is read in narrow comments, and its script must not mix both.
        let inner = line.trim_start_matches("    ");
        page.push_str(&"\t".repeat((line.len() - inner.len()) / 4));
        page.push_str(inner);
        page.push('\n');
    }
    page
}

/// Statements, as pages show them, become the `_ready` of a script; members become a script of a node.
fn whole(block: &str) -> String {
    if block.lines().any(|line| line.starts_with("extends ")) {
        return block.to_owned();
    }
    if block.lines().any(|line| line.starts_with("func ")) {
        return format!("extends Node\n\n\n{block}");
    }
    let body: String = block.lines().map(|line| format!("\t{line}\n")).collect();
    format!("extends Node\n\n\nfunc _ready() -> void:\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_a_page() {
        let source = "/// Words.\n/// ```gdscript\n/// func a():\n///     if b:\n///         c()\n/// ```\nfn f() {}\n";
        let examples = read(&of_comments(source)).expect("a good page");
        let [example] = &examples.into_values().collect::<Vec<_>>()[..] else { panic!("one example") };
        assert_eq!(example.parts[0].code, "extends Node\n\n\nfunc a():\n\tif b:\n\t\tc()\n");
    }

    #[test]
    fn a_page_is_read() {
        let page = "# Page\n\n<!-- run: x client args=a,b -->\n<!-- run: x other stock -->\n```gdscript\nextends Node\n```\n\
             \n<!-- run: x server -->\n```gdscript\nextends Node2D\n```\n<!-- prints: x client -->\n\n```text\none\ntwo …\n\
             ```\n\n```gdscript\nvar a := 1\nprint(a)\n```\n\n```text\nfree\n```\n<!-- any comment -->\nText\n";
        let examples = read(page).expect("a good page");
        let [(alone, example), (name, group)] = &examples.iter().collect::<Vec<_>>()[..] else {
            panic!("two examples: {examples:?}")
        };
        assert_eq!((alone.as_str(), name.as_str()), ("line20", "x"));
        assert_eq!(
            example.parts[0].code,
            "extends Node\n\n\nfunc _ready() -> void:\n\tvar a := 1\n\tprint(a)\n"
        );
        let roles: Vec<_> = group.parts.iter().map(|part| part.role.as_str()).collect();
        assert_eq!(roles, ["server", "client", "other"]);
        assert_eq!(group.parts[1].prints, ["one", "two …"]);
        assert_eq!(group.parts[1].arguments, ["a", "b"]);
        assert_eq!((group.parts[1].stock, group.parts[2].stock), (false, true));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (page, line) in [
            ("<!-- run: x y -->\ntext\n", "line 2"),
            ("```gdscript\nextends Node\n", "line 1"),
            ("<!-- run: x -->\n```gdscript\n```\n", "line 1"),
            ("<!-- prints: x y -->\n```text\n```\n", "line 1"),
            ("<!-- run: x y -->\n```text\n```\n", "line 2"),
        ] {
            let error = format!("{:#}", read(page).expect_err("a mistake"));
            assert!(error.contains(line), "{page}: {error}");
        }
    }
}
