//! Finds the paths, macro calls and `unsafe`s of a source text.

/// A path as written (`a::b`), a macro's name (`a!`) or the keyword `unsafe`, and where.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// How many inline modules it stands in.
    pub(crate) inline_depth: usize,
    pub(crate) is_test: bool,
}

impl Found {
    pub(crate) fn ends_with(&self, tail: &[&str]) -> bool {
        self.segments.len() >= tail.len() && self.segments[self.segments.len() - tail.len()..] == *tail
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.segments.join("::"))
    }
}

/// Walks over tokens, expands `use` trees, and keeps track of inline modules.
pub(crate) struct Scanner {
    tokens: Vec<(String, usize)>,
    at: usize,
    /// A `true` for each open brace that an inline module opened, and whether it is test code.
    braces: Vec<(bool, bool)>,
    pub(crate) found: Vec<Found>,
    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    pub(crate) test_modules: Vec<String>,
}

impl Scanner {
    pub(crate) fn new(text: &str) -> Self {
        Self { tokens: tokens(&blank(text)), at: 0, braces: Vec::new(), found: Vec::new(), test_modules: Vec::new() }
    }

    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |(token, _)| token)
    }

    pub(crate) fn run(&mut self) {
        let mut test_next = false;
        while self.at < self.tokens.len() {
            let token = self.peek(0).to_owned();
            match token.as_str() {
                "#" if self.peek(1) == "[" => test_next |= self.attribute(),
                "mod" if self.peek(2) == "{" => {
                    self.braces.push((true, test_next));
                    test_next = false;
                    self.at += 3;
                }
                "mod" if self.peek(2) == ";" => {
                    if test_next {
                        self.test_modules.push(self.peek(1).to_owned());
                    }
                    test_next = false;
                    self.at += 3;
                }
                "{" => {
                    self.braces.push((false, test_next));
                    test_next = false;
                    self.at += 1;
                }
                "}" => {
                    self.braces.pop();
                    self.at += 1;
                }
                ";" => {
                    test_next = false;
                    self.at += 1;
                }
                "use" => {
                    self.at += 1;
                    self.use_tree(&[], test_next);
                }
                "unsafe" => {
                    self.record(vec![token], test_next);
                    self.at += 1;
                }
                _ if is_word(&token) => self.path(test_next),
                _ => self.at += 1,
            }
        }
    }

    /// Passes over `#[…]`; whether it is `#[cfg(test)]`, or test and more.
    fn attribute(&mut self) -> bool {
        let begins = (2..7).map(|ahead| self.peek(ahead)).collect::<String>();
        let is_test = begins == "cfg(test)]" || begins == "cfg(all(test";
        let mut open = 0;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "[" => open += 1,
                "]" => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 && self.tokens[self.at - 1].0 == "]" {
                break;
            }
        }
        is_test
    }

    /// A path in an expression or a type, or a macro call.
    fn path(&mut self, is_test: bool) {
        let mut segments = vec![self.peek(0).to_owned()];
        let start = self.at;
        self.at += 1;
        while self.peek(0) == "::" && is_word(self.peek(1)) {
            segments.push(self.peek(1).to_owned());
            self.at += 2;
        }
        if self.peek(0) == "!" && self.peek(1) != "=" {
            let name = segments.pop().unwrap_or_default();
            segments.push(format!("{name}!"));
        } else if segments.len() == 1 {
            return;
        }
        let end = std::mem::replace(&mut self.at, start);
        self.record(segments, is_test);
        self.at = end;
    }

    /// `a::{b, c::d as e, *}`, each as a path of its own.
    fn use_tree(&mut self, prefix: &[String], is_test: bool) {
        let mut segments = prefix.to_vec();
        loop {
            match self.peek(0).to_owned().as_str() {
                "{" => {
                    self.at += 1;
                    while !matches!(self.peek(0), "}" | "") {
                        self.use_tree(&segments, is_test);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => self.at += 2,
                "::" => self.at += 1,
                word if is_word(word) || word == "*" => {
                    segments.push(word.to_owned());
                    if self.peek(1) == "::" {
                        self.at += 1;
                    } else {
                        self.record(segments.clone(), is_test);
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn record(&mut self, segments: Vec<String>, is_test: bool) {
        let line = self.tokens[self.at].1;
        let inline_depth = self.braces.iter().filter(|(is_module, _)| *is_module).count();
        let is_test = is_test || self.braces.iter().any(|(_, is_test)| *is_test);
        self.found.push(Found { segments, line, inline_depth, is_test });
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::`, and single characters, each with its line.
fn tokens(code: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if first == '\n' {
            line += 1;
        } else if !first.is_whitespace() {
            tokens.push((token.to_owned(), line));
        }
        rest = after;
    }
    tokens
}

/// The text with comments, strings and characters turned into spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut output = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).max(at);
        if end == at {
            output.push(chars[at]);
            at += 1;
        } else {
            output.extend(chars[at..end].iter().map(|it| if *it == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    output
}

/// Where the comment or literal that begins here ends; `at` itself if none begins.
fn literal_end(chars: &[char], at: usize) -> usize {
    let text =
        |from: usize, what: &str| what.chars().enumerate().all(|(index, it)| chars.get(from + index) == Some(&it));
    let until = |from: usize, what: &str| {
        (from..chars.len()).find(|from| text(*from, what)).map_or(chars.len(), |found| found + what.chars().count())
    };
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if text(at, "//") => until(at, "\n") - 1,
        '/' if text(at, "/*") => {
            let (mut depth, mut from) = (1, at + 2);
            while depth > 0 && from < chars.len() {
                depth += i32::from(text(from, "/*")) - i32::from(text(from, "*/"));
                from += 1 + usize::from(text(from, "/*") || text(from, "*/"));
            }
            from
        }
        'r' | 'b' if !in_word => {
            let prefix = (at..).take_while(|from| matches!(chars.get(*from), Some('r' | 'b'))).count();
            let hashes = (at + prefix..).take_while(|from| chars.get(*from) == Some(&'#')).count();
            let raw = chars[at..at + prefix].contains(&'r');
            match chars.get(at + prefix + hashes) {
                Some('"') if raw && prefix <= 2 => {
                    until(at + prefix + hashes + 1, &format!("\"{}", "#".repeat(hashes)))
                }
                _ => at,
            }
        }
        '"' => {
            let mut from = at + 1;
            while from < chars.len() && chars[from] != '"' {
                from += 1 + usize::from(chars[from] == '\\');
            }
            from + 1
        }
        // A lifetime has no closing quote where a character has one.
        '\'' if text(at + 1, "\\") => until(at + 3, "'"),
        '\'' if text(at + 2, "'") => at + 3,
        _ => at,
    }
    .min(chars.len())
}
