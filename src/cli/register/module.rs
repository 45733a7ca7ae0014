//! Calls functions of Python and Perl modules as hooks: a few lines in the module's language load it and
//! give its function the event.

use std::path::{Path, PathBuf};

use crate::machine::files;
use crate::process::DEFAULT_PATH;

/// The directory of the hooks directory that is searched for modules, after all other places.
pub(crate) const DIRECTORY: &str = "modules";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Perl,
}

impl Language {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Language::Python => "Python",
            Language::Perl => "Perl",
        }
    }

    const fn interpreter(self) -> &'static str {
        match self {
            Language::Python => "python3",
            Language::Perl => "perl",
        }
    }

    /// Returns the options between the interpreter and the program's text. With them neither language looks
    /// for modules in the current directory or where the environment says.
    const fn flags(self) -> [&'static str; 2] {
        match self {
            Language::Python => ["-I", "-c"],
            Language::Perl => ["-Mstrict", "-e"],
        }
    }

    /// Finds the interpreter where a daemon would find it, whatever the PATH of the user is: hooks can't use
    /// what is in somebody's home.
    ///
    /// # Errors
    /// There is none; the message says where it was searched.
    pub(crate) fn find_interpreter(self) -> Result<PathBuf, String> {
        let name = self.interpreter();
        DEFAULT_PATH.split(':').map(|directory| Path::new(directory).join(name)).find(|path| files::is_executable(path)).ok_or_else(|| {
            format!("a {} module needs {name}, and there is none in {DEFAULT_PATH}: install it first", self.name())
        })
    }
}

/// A module, by the name that its language gives it: `pkg.mod`, `Pkg::Mod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub language: Language,
    pub name: String,
}

impl Module {
    /// Reads a name: with `::` it is Perl's, else Python's. `Mod.pm` is a Perl module of one word.
    ///
    /// # Errors
    /// The word can't be a module's name.
    pub(crate) fn parse(word: &str) -> Result<Module, String> {
        let perl = word.strip_suffix(".pm").or_else(|| word.contains("::").then_some(word));
        let (language, name, separator) = match perl {
            Some(name) => (Language::Perl, name, "::"),
            None => (Language::Python, word, "."),
        };
        if !name.split(separator).all(is_word) {
            return Err(format!(
                "`{word}` is not a module's name: write pkg.mod for Python, Pkg::Mod for Perl"
            ));
        }
        Ok(Module { language, name: name.to_owned() })
    }

    /// Reads the name of a function: one of this module, or of another module named before it.
    ///
    /// # Errors
    /// The word can't be a function's name.
    pub(crate) fn function(&self, word: &str) -> Result<(Module, String), String> {
        let word = word.trim().trim_end_matches("()");
        let separator = match self.language {
            Language::Python => ".",
            Language::Perl => "::",
        };
        let (module, function) = match word.rsplit_once(separator) {
            Some((module, function)) => (module.to_owned(), function),
            None => (self.name.clone(), word),
        };
        if !is_word(function) || !module.split(separator).all(is_word) {
            let hint = if word.contains("::") && self.language == Language::Python {
                ": `::` is Perl's; a script's hooks in Perl packages are registered by \
                 `hookmux add module Pkg::Mod`"
            } else {
                ""
            };
            return Err(format!(
                "`{word}` is not a function of a {} module{hint}",
                self.language.name()
            ));
        }
        Ok((Module { language: self.language, name: module }, function.to_owned()))
    }

    /// Returns the command that calls a function with the event from standard input.
    pub(crate) fn command(&self, interpreter: &Path, function: &str) -> Vec<String> {
        self.program(interpreter, self.loader(Loader::Call), &[function])
    }

    /// Returns the command that prints the files of a module without running them.
    pub(crate) fn locating_command(&self, interpreter: &Path) -> Vec<String> {
        self.program(interpreter, self.loader(Loader::Locate), &[])
    }

    /// Returns the command that prints what the module's `describe` returns.
    pub(crate) fn describing_command(&self, interpreter: &Path) -> Vec<String> {
        self.program(interpreter, self.loader(Loader::Describe), &[])
    }

    fn program(&self, interpreter: &Path, text: &str, more: &[&str]) -> Vec<String> {
        let interpreter = interpreter.to_string_lossy().into_owned();
        let [first, second] = self.language.flags();
        let words = [first, second, text, &self.name].into_iter().chain(more.iter().copied());
        std::iter::once(interpreter).chain(words.map(str::to_owned)).collect()
    }

    const fn loader(&self, loader: Loader) -> &'static str {
        match (self.language, loader) {
            (Language::Python, Loader::Call) => PYTHON_CALL,
            (Language::Python, Loader::Locate) => PYTHON_LOCATE,
            (Language::Python, Loader::Describe) => PYTHON_DESCRIBE,
            (Language::Perl, Loader::Call) => PERL_CALL,
            (Language::Perl, Loader::Locate) => PERL_LOCATE,
            (Language::Perl, Loader::Describe) => PERL_DESCRIBE,
        }
    }
}

/// Returns the module and the function that a registration's command calls, if `add module` made it.
pub(crate) fn called_function(command: &[String]) -> Option<(&str, &str)> {
    match command {
        [_, _, flag, text, module, function] if (flag == "-c" || flag == "-e") && is_call(text) => {
            Some((module, function))
        }
        _ => None,
    }
}

/// Tells whether a text is a loader, also one that somebody has edited.
fn is_call(text: &str) -> bool {
    text.contains("sys.argv[2]") || text.contains("->can($function)")
}

/// Returns a command on one line, as a shell takes it, without the lines that load a module.
pub(crate) fn command_line(command: &[String]) -> String {
    let quoter = shlex::Quoter::new().allow_nul(true);
    let words = command.iter().map(|word| match quoter.quote(word) {
        _ if word.contains('\n') => "…".into(),
        quoted => quoted.unwrap_or_else(|_| word.into()),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn is_word(word: &str) -> bool {
    crate::config::values::is_variable_name(word)
}

#[derive(Clone, Copy)]
enum Loader {
    Call,
    Locate,
    Describe,
}

// As with cPanel, a Perl function gets the context and the data: the first argument is the event with
// cPanel's words for category, stage and event, the second one the event alone. What a function returns is
// read strictly: a veto of another shape must not be taken for success.

const PYTHON_CALL: &str = r#"import importlib, json, os, sys
sys.path.append(os.environ["HOOKMUX_HOOKS_DIR"] + "/modules")
name = sys.argv[2]
answer = getattr(importlib.import_module(sys.argv[1]), name)(json.load(sys.stdin))
result, message = answer, None
if isinstance(answer, (tuple, list)) and len(answer) in (1, 2):
    result, message = (list(answer) + [None])[:2]
elif isinstance(answer, str) and answer.split()[:1] in (["0"], ["BAILOUT"]):
    first, _, rest = answer.strip().partition(" ")
    result, message = 0, rest if first == "0" else answer
if isinstance(result, (tuple, list, dict, set)) or hasattr(result, "__await__") or hasattr(result, "__next__"):
    sys.exit("%s returned %.200r, which is no answer: return nothing, a true or false value, or (0, MESSAGE)" % (name, answer))
if result is not None and (not result or result == "0"):
    message = str(message or "").strip() or "%s returned %r" % (name, result)
    if message.split()[0] == "BAILOUT":
        print(message[7:].strip() or name + " returned BAILOUT", file=sys.stderr)
        sys.exit(2)
    sys.exit(message)
"#;

const PYTHON_LOCATE: &str = r#"import importlib.machinery, os, sys
sys.path.append(os.environ["HOOKMUX_HOOKS_DIR"] + "/modules")
parts, places = sys.argv[1].split("."), None
for end in range(1, len(parts) + 1):
    name = ".".join(parts[:end])
    if end == 1 and name in sys.builtin_module_names:
        sys.exit("%s is part of Python itself" % name)
    spec = importlib.machinery.PathFinder.find_spec(name, places)
    if spec is None:
        sys.exit("no module %s in %s" % (name, ", ".join(places or sys.path)))
    if spec.origin:
        print(spec.origin)
    places = spec.submodule_search_locations
    if places is None and end < len(parts):
        sys.exit("%s is not a package" % name)
"#;

const PYTHON_DESCRIBE: &str = r#"import importlib, json, os, sys
sys.path.append(os.environ["HOOKMUX_HOOKS_DIR"] + "/modules")
answer, sys.stdout = sys.stdout, sys.stderr
describe = getattr(importlib.import_module(sys.argv[1]), "describe", None)
if describe is None:
    sys.exit("%s has no function describe()" % sys.argv[1])
json.dump(describe(), answer)
"#;

const PERL_CALL: &str = r#"use JSON::PP ();
push @INC, "$ENV{HOOKMUX_HOOKS_DIR}/modules";
my ($module, $function) = @ARGV;
require(join("/", split /::/, $module) . ".pm");
my $call = $module->can($function) or die "$module has no sub $function\n";
my $data = JSON::PP->new->utf8->decode(join "", <STDIN>);
my %context = %$data;
@context{qw(stage category event)} = ($1 eq "before" ? "pre" : "post", $2, $3) if ($data->{event} // "") =~ /^(before|after)_([a-z]+)_(.+)$/;
my @result = $call->(\%context, $data);
@result = @{$result[0]} if @result == 1 && ref $result[0] eq "ARRAY" && @{$result[0]};
@result = (0, $2) if @result == 1 && ($result[0] // "") =~ /^\s*(0\s+|(?=BAILOUT\b))(.*)/s;
if (@result > 2 || @result && ref($result[0]) =~ /^(ARRAY|HASH)$/) { warn "$function returned what is no answer: return nothing, a true or false value, or (0, MESSAGE)\n"; exit 1 }
if (@result && !$result[0]) {
    my $message = defined $result[1] && length $result[1] ? $result[1] : "$function returned false";
    my $status = $message =~ s/^\s*BAILOUT\b\s*// ? 2 : 1;
    warn((length $message ? $message : "$function returned BAILOUT") . "\n");
    exit $status;
}
"#;

const PERL_LOCATE: &str = r#"use JSON::PP ();
push @INC, "$ENV{HOOKMUX_HOOKS_DIR}/modules";
my $file = join("/", split /::/, $ARGV[0]) . ".pm";
for (grep { !ref && -f "$_/$file" } @INC) { print "$_/$file\n"; exit 0 }
die "no module $ARGV[0] in " . join(", ", @INC) . "\n";
"#;

const PERL_DESCRIBE: &str = r#"use JSON::PP ();
push @INC, "$ENV{HOOKMUX_HOOKS_DIR}/modules";
open my $answer, ">&", \*STDOUT or die $!; open STDOUT, ">&", \*STDERR or die $!;
my $module = $ARGV[0];
require(join("/", split /::/, $module) . ".pm");
$module->can("describe") or die "$module has no sub describe\n";
print $answer JSON::PP->new->utf8->encode(scalar $module->describe());
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_language() {
        for (word, language, name) in [
            ("pkg.mod", Language::Python, "pkg.mod"),
            ("hooks", Language::Python, "hooks"),
            ("Pkg::Mod", Language::Perl, "Pkg::Mod"),
            ("MyApp.pm", Language::Perl, "MyApp"),
        ] {
            assert_eq!(Module::parse(word).unwrap(), Module { language, name: name.to_owned() });
        }
        for word in ["", "a b", "../x", "a..b", "Pkg::", "::Pkg", "1x", "a;b", "a/b"] {
            assert!(Module::parse(word).unwrap_err().contains("Pkg::Mod"), "{word}");
        }
    }

    #[test]
    fn functions_may_name_their_module() {
        let perl = Module::parse("MyApp::Hooks").unwrap();
        let of = |word: &str| perl.function(word).map(|(module, name)| (module.name, name));
        assert_eq!(of("add").unwrap(), ("MyApp::Hooks".to_owned(), "add".to_owned()));
        assert_eq!(of("MyApp::Other::add").unwrap().0, "MyApp::Other");
        assert!(of("add --x").is_err() && of("").is_err());
        let python = Module::parse("pkg.mod").unwrap();
        assert_eq!(python.function("pkg.other.add").unwrap().0.name, "pkg.other");
    }

    #[test]
    fn a_command_tells_its_module() {
        for word in ["pkg.mod", "Pkg::Mod"] {
            let command = Module::parse(word).unwrap().command(Path::new("/usr/bin/x"), "add");
            assert_eq!(called_function(&command), Some((word, "add")));
            assert!(
                command_line(&command).ends_with(&format!("… {word} add")),
                "{}",
                command_line(&command)
            );
        }
        assert_eq!(called_function(&["/bin/sh".to_owned(), "-c".to_owned()]), None);
        assert_eq!(command_line(&["/x".to_owned(), "a b".to_owned()]), "/x 'a b'");
    }
}
