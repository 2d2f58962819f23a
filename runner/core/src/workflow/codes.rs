//! The stable codes of this room and of the primitives: one a cause, never reused. `packhorse explain CODE` reads this table.
//!
//! `PH01` inputs, `PH02` files, `PH03` expressions in a run, `PH04` primitives.

macro_rules! codes {
    ($($name:ident = $code:literal: $about:literal,)*) => {
        $(#[doc = $about] pub const $name: &str = $code;)*

        /// Every code with what it means.
        pub static CODES: &[(&str, &str)] = &[$(($code, $about),)*];
    };
}

codes! {
    UNKNOWN_GIVEN_INPUT = "PH0110": "A run is given an input that its workflow does not declare.",
    MISSING_INPUT = "PH0111": "A run is not given an input that is required: give it by -i NAME=VALUE.",
    INPUT_TYPE = "PH0112": "An input is given as something else than its type, or is longer than 64 KiB.",
    INPUT_VALUE = "PH0113": "An input does not fit the enum, the pattern or the bounds that its workflow declares.",
    NOT_TEXT = "PH0201": "The file is empty, is not UTF-8, or begins with a byte order mark.",
    LIMIT = "PH0202": "The file passes a limit: 256 KiB, 64 levels of YAML, 20 000 values, 500 steps, 8 levels of blocks.",
    SYNTAX = "PH0203": "The file is not YAML.",
    ANCHOR = "PH0204": "Anchors, aliases and merge keys are refused: what a step does stands where the step stands.",
    TAG = "PH0205": "YAML tags are refused: a workflow has only text, numbers, booleans, lists and maps.",
    DOCUMENTS = "PH0206": "A workflow file holds exactly one YAML document.",
    UNKNOWN_STEP = "PH0207": "An expression names a step that no file of this name has before this place.",
    DUPLICATE_KEY = "PH0208": "A map has the same key twice.",
    KEY_NOT_TEXT = "PH0209": "Keys are text.",
    TAB = "PH0210": "YAML is indented by spaces, never by tabs.",
    UNKNOWN_KEY = "PH0211": "This key is not part of the grammar. Keys that begin with x- are for your own notes.",
    LATER = "PH0212": "This is part of the grammar but not available yet.",
    MISSING_KEY = "PH0213": "A key that must be there is missing.",
    WRONG_TYPE = "PH0214": "A value has another type than the key wants.",
    BAD_VALUE = "PH0215": "A value has the right type and is not allowed here.",
    BAD_NAME = "PH0216": "Workflow names are kebab-case; ids and names of inputs are snake_case, at most 64 characters.",
    DUPLICATE_ID = "PH0217": "Step ids are unique in the file, blocks, on_failure and finally included.",
    RESERVED = "PH0218": "Expressions reserve this word, so that no step or input can bear it.",
    STEP_KIND = "PH0219": "A step has exactly one of `uses` and `steps`.",
    UNKNOWN_PRIMITIVE = "PH0220": "`uses` names a primitive that does not exist.",
    UNKNOWN_PARAMETER = "PH0221": "`with` gives a parameter that the primitive does not take.",
    MISSING_PARAMETER = "PH0222": "`with` lacks a parameter that the primitive needs.",
    BAD_PARAMETER = "PH0223": "A parameter's value is one that the primitive would refuse.",
    BAD_KIND = "PH0224": "`kind` is another than the one that a file must have here: workflow/v1, or devices/v1 for devices.",
    NO_VALUE = "PH0225": "A key stands without a value.",
    BAD_DEFAULT = "PH0226": "An input's default, enum or bound does not fit its type.",
    NO_CODEC = "PH0227": "A step transfers a file, the workflow names no codec, and it has no input `device` by which the registry of devices could know one.",
    EXPRESSION_SYNTAX = "PH0230": "An expression is not CEL.",
    EXPRESSION_TOO_BIG = "PH0231": "An expression passes a limit: 1 KiB, brackets 16 deep, 64 operators, 64 selectors, 4 macros of which 2 nested.",
    UNKNOWN_NAME = "PH0232": "An expression names something that does not exist here.",
    UNKNOWN_OUTPUT = "PH0233": "An expression names an output or field that a step does not have.",
    STEP_LATER = "PH0234": "An expression names a step that runs later, or the step itself. Steps run in the order of the file, so that references can never be cyclic.",
    STEP_ELSEWHERE = "PH0235": "An expression names a step that this place cannot see.",
    MARKS_IN_CEL = "PH0236": "This field is CEL as a whole and takes no ${{ }}.",
    NO_EXPRESSION_HERE = "PH0237": "This field takes no expression: it must be known when the file is read.",
    UNKNOWN_FUNCTION = "PH0238": "An expression calls a function that does not exist.",
    UNKNOWN_INPUT = "PH0239": "An expression names an input that the workflow does not declare.",
    UNCLOSED = "PH0240": "A ${{ is not closed by }}.",
    EXPRESSION_TYPE = "PH0241": "An expression can only give another type than the field wants.",
    TIED = "PH0250": "Two entries of a file of devices can mean the same device, and neither is nearer.",
    TRIGGER_KIND = "PH0260": "A trigger has exactly one of `mqtt`, `schedule`, `file` and `http`.",
    BAD_FILTER = "PH0261": "A trigger's topic is no filter that can be subscribed to.",
    BAD_CRON = "PH0262": "A cron pattern has five fields: minute, hour, day of month, month, day of week; and some date must fit it.",
    BAD_ZONE = "PH0263": "A time zone is a name of the IANA database, such as UTC or Europe/Berlin.",
    BAD_GLOB = "PH0264": "A trigger's file pattern is for names in one folder and knows `*` and `?` only.",
    TRIGGER_INPUT = "PH0265": "A trigger gives an input that the workflow does not declare, or a value that the input does not take.",
    TRIGGER_LACKS = "PH0266": "A trigger never gives an input that is required.",
    DUPLICATE_TRIGGER = "PH0267": "Ids of triggers are unique in the file.",
    DEDUPE_KEY = "PH0268": "The `dedupe_key` of a trigger gave nothing, or more than 1 KiB.",
    EXPRESSION_FAILED = "PH0301": "An expression failed on the values of this run.",
    NOT_BOOLEAN = "PH0302": "A condition gave something else than true or false.",
    NO_RESULT = "PH0303": "An expression gave a value of a type that only CEL has: bytes, a negative duration, a map with other keys than text.",
    NOT_PART_OF_TEXT = "PH0304": "An expression in a text gave a list, a map or nothing, or the text became longer than 64 KiB.",
    TOO_MUCH_WORK = "PH0305": "An expression would loop too often or grow too large on the values of this run.",
    BAD_TERMS = "PH0306": "priority, slot or the group of concurrency came out as something that it cannot be.",
    BAD_SELECTOR = "PH0307": "The selector of a hold cannot be read, or names what no run has.",
    PARAMETER = "PH0401": "A parameter of a step came out as something that the primitive refuses.",
    UNEXPECTED_REPLY = "PH0402": "The runner answered a step with something else than was asked for: a bug of ours.",
    OUTPUT_TOO_LONG = "PH0403": "A value is longer than an output can be (64 KiB): use a file.",
    PUSH_DIFFERS = "PH0411": "After a push the device told another digest than that of the file.",
    VERIFY_DIFFERS = "PH0412": "The device holds another file than it should, or none.",
    NOT_COMPARABLE = "PH0413": "The device told only digests that its codec does not declare, so that ours are not known.",
    REQUIRED = "PH0414": "What a push requires (`require`) does not hold: nothing was sent.",
    CHECKSUM_DIFFERS = "PH0421": "A file does not have the digest or the size that it should have.",
    ASSERT_FAILED = "PH0431": "The condition of an `assert` does not hold.",
    FAILED_BY_WORKFLOW = "PH0441": "The workflow itself ended the run, by `fail`.",
}

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn every_code_is_there_once() {
        let mut codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
        codes.dedup();
        assert!(codes.is_sorted());
        assert_eq!(codes.len(), CODES.len());
        assert!(codes.iter().all(|code| code.len() == 6 && ["PH01", "PH02", "PH03", "PH04"].contains(&&code[..4])));
    }
}
