//! Reads the code blocks of the documentation: the process that runs each, and the lines that it prints.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::case::Program;

/// Scripts that run together, each in its own process.
#[derive(Debug, Default)]
pub(crate) struct Example {
    pub(crate) parts: Vec<Part>,
}

/// One process of an example.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) role: String,
    /// What runs it, if it is not the engine: it may end when it has done its work.
    pub(crate) program: Option<Program>,
    /// A whole script.
    pub(crate) code: String,
    /// In a project without the addon.
    pub(crate) stock: bool,
    /// The script's command-line arguments.
    pub(crate) arguments: Vec<String>,
    /// Lines that it must print; `…` stands for any text.
    pub(crate) prints: Vec<String>,
}

/// All examples of a page by their names.
///
/// `<!-- run: EXAMPLE ROLE [stock] [args=A,B] -->` before a block of GDScript, Python, JavaScript or shell says that it is a process
/// of an example, several such lines that it is several. A block of GDScript without one is an example of its own. A block of
/// statements is wrapped into a script. `<!-- prints: EXAMPLE ROLE -->` before a block of text says what must be printed.
pub(crate) fn read(text: &str) -> Result<BTreeMap<String, Example>> {
    let mut examples: BTreeMap<String, Example> = BTreeMap::new();
    let mut marks: Vec<Mark> = Vec::new();
    let mut block: Option<String> = None;
    for (event, range) in Parser::new(text).into_offset_iter() {
        let line = 1 + text[..range.start].matches('\n').count();
        match event {
            Event::Html(html) => marks.extend(Mark::parse(line, &html)),
            Event::Start(Tag::CodeBlock(_)) => block = Some(String::new()),
            Event::Text(text) if block.is_some() => block.iter_mut().for_each(|block| block.push_str(&text)),
            Event::End(TagEnd::CodeBlock) => {
                let source = text[range].trim_end();
                ensure!(
                    source.ends_with("```") || !source.starts_with("```"),
                    "line {line}: the block does not end"
                );
                let language = source.lines().next().and_then(|line| line.strip_prefix("```"));
                add(
                    &mut examples,
                    language.unwrap_or_default(),
                    &block.take().unwrap_or_default(),
                    line,
                    &marks,
                )?;
                marks.clear();
            }
            Event::Start(Tag::HtmlBlock) | Event::End(_) => {}
            _ => ensure!(marks.is_empty(), "line {line}: there is no block of code after the comment"),
        }
    }
    for example in examples.values_mut() {
        // Clients need a server to join.
        example.parts.sort_by_key(|part| part.role != "server");
    }
    Ok(examples)
}

/// A comment about the block after it.
struct Mark {
    line: usize,
    is_run: bool,
    words: String,
}

impl Mark {
    fn parse(line: usize, html: &str) -> Option<Self> {
        let comment = html.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        let (kind, words) = comment.split_once(": ").filter(|(kind, _)| ["run", "prints"].contains(kind))?;
        Some(Self { line, is_run: kind == "run", words: words.to_owned() })
    }
}

/// Adds a block of code to the examples of a page.
fn add(
    examples: &mut BTreeMap<String, Example>,
    language: &str,
    block: &str,
    line: usize,
    marks: &[Mark],
) -> Result<()> {
    match (language, marks) {
        ("gdscript", []) => {
            let part = Part { role: "main".to_owned(), code: whole(block), ..Part::default() };
            examples.entry(format!("line{line}")).or_default().parts.push(part);
        }
        (_, []) => {}
        ("gdscript" | "python" | "javascript" | "sh", marks) => {
            for Mark { line, is_run, words } in marks {
                ensure!(is_run, "line {line}: a script prints nothing by itself");
                let (name, mut part) = part(words, block).with_context(|| format!("line {line}"))?;
                part.program = match language {
                    "python" => Some(Program::Python),
                    "javascript" => Some(Program::Node),
                    "sh" => Some(Program::CurlShell),
                    _ => None,
                };
                if part.program.is_some() {
                    ensure!(!part.stock, "line {line}: only a project has an addon");
                    part.code = block.to_owned();
                }
                examples.entry(name).or_default().parts.push(part);
            }
        }
        ("text", [Mark { line, is_run: false, words }]) => {
            let part = words.split_once(' ').and_then(|(name, role)| {
                examples.get_mut(name)?.parts.iter_mut().find(|part| part.role == role)
            });
            let part = part.with_context(|| format!("line {line}: nothing before runs as {words:?}"))?;
            part.prints.extend(block.lines().map(str::to_owned));
        }
        _ => bail!("line {line}: this block can be neither run nor printed"),
    }
    Ok(())
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
        // The help shows tabs wide, so the examples in doc comments are indented with spaces. A script must not mix both.
        let inner = line.trim_start_matches("    ");
        page.push_str(&"\t".repeat((line.len() - inner.len()) / 4));
        page.push_str(inner);
        page.push('\n');
    }
    page
}

/// Makes a script of a block: statements become its `_ready`, and members become a script of a node.
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
    fn a_script_of_another_language_is_a_process_as_it_is() {
        let page = "<!-- run: x bot args=a -->\n```python\nprint(1)\n```\n\n```sh\ngodot --version\n```\n";
        let examples = read(page).expect("a good page");
        let [part] = &examples["x"].parts[..] else { panic!("one process: {examples:?}") };
        assert_eq!((part.program, part.code.as_str()), (Some(Program::Python), "print(1)\n"));
        assert_eq!((examples.len(), part.arguments.len()), (1, 1));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (page, line) in [
            ("<!-- run: x y -->\ntext\n", "line 2"),
            ("```gdscript\nextends Node\n", "line 1"),
            ("<!-- run: x -->\n```gdscript\n```\n", "line 1"),
            ("<!-- prints: x y -->\n```text\n```\n", "line 1"),
            ("<!-- run: x y -->\n```text\n```\n", "line 2"),
            ("<!-- run: x y stock -->\n```python\n```\n", "line 1"),
        ] {
            let error = format!("{:#}", read(page).expect_err("a mistake"));
            assert!(error.contains(line), "{page}: {error}");
        }
    }
}
