//! The fenced blocks of a page, with the comments before them.

use crate::support::prelude::*;

#[derive(Default)]
pub struct Block {
    pub place: String,
    pub language: String,
    pub lines: Vec<String>,
    pub before: String,
    pub needs: String,
    is_not_run: bool,
}

impl Block {
    /// Takes a comment before the block.
    fn note(&mut self, comment: &str) {
        match comment.split_once(": ") {
            Some(("before", commands)) => self.before = commands.into(),
            Some(("needs", what)) => self.needs = what.into(),
            Some(("not run", _)) => self.is_not_run = true,
            _ => {}
        }
    }

    pub fn has_commands(&self) -> bool {
        ["console", "sh"].contains(&&*self.language) && !self.is_not_run
    }

    pub fn missing(&self) -> Option<&str> {
        self.needs.split_whitespace().find(|need| match *need {
            "root" => !may_change_user(),
            "cgroup" => false,
            name => program(name).is_none(),
        })
    }

    /// The lines that begin a part, each with those that belong to it.
    pub fn parts(&self, begins: impl Fn(&str) -> bool) -> Vec<&[String]> {
        let mut parts = Vec::new();
        let mut rest = &self.lines[..];
        while let Some((_, more)) = rest.split_first() {
            let end = more.iter().position(|line| begins(line));
            let end = end.unwrap_or(more.len());
            let (part, next) = rest.split_at(end + 1);
            parts.push(part);
            rest = next;
        }
        parts
    }
}

pub fn blocks(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut lines = text.lines().zip(1..);
    let (mut blocks, mut block) = (Vec::new(), Block::default());
    while let Some((line, number)) = lines.next() {
        let comment = line.strip_prefix("<!-- ");
        let comment = comment.and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(language) = line.strip_prefix("```") {
            (block.place, block.language) = (format!("{page}:{number}"), language.into());
            let inside = lines.by_ref().take_while(|(line, _)| *line != "```");
            block.lines = inside.map(|(line, _)| line.to_owned()).collect();
            blocks.push(std::mem::take(&mut block));
        } else if let Some(comment) = comment {
            block.note(comment);
        } else if !line.is_empty() {
            block = Block::default();
        }
    }
    blocks
}
