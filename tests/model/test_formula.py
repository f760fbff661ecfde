"""Formulas: what is refused before evaluation, and what the rest evaluates to."""

import ast
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from formulaic.parser.algos.tokenize import tokenize as formulaic_tokenize
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_crlm.model import plain_formula
from bayes_crlm.model.allowed_formulas import ALLOWED_FUNCTIONS
from bayes_crlm.model.formula import (
    check_formula,
    evaluate_formula,
    evaluation_context,
    expanded,
    formula_data,
    parse_formula,
)
from bayes_crlm.model.plain_formula import plain_terms
from bayes_crlm.words.errors import FormulaError

ATTACKS = [
    "__import__('os').system('x')",
    "I(__import__('os'))",
    'I(__import__("os").system("x"))',
    "open('x')",
    "I(open('x'))",
    "I(open)(age)",
    "I(age)(age)",
    "log(age)(age)",
    "exec('1')",
    "eval('1')",
    "().__class__",
    "age.__class__",
    "I(age.__class__)",
    "I(().__class__.__bases__[0].__subclasses__())",
    "age.to_csv('x')",
    "I(age.values)",
    "age[0]",
    "I(age[0])",
    "log(age, out=age)",
    "log(age, where=age)",
    "np.log(age)",
    "I(np.log(age))",
    "Q('age')",
    "hashed(age, levels=3)",
    "lag(age)",
    "contr.treatment(age)",
    "C(age, contr.treatment)",
    "C(age, Treatment('a'))",
    "C(age, contrasts=open)",
    "C(age, levels=open('x'))",
    "{age}",
    "{__import__('os')}",
    "I({age})",
    "I({age: 1})",
    "lambda: 0",
    "I(lambda: 0)",
    "I((lambda: 0)())",
    "f'{age}'",
    "I(f'{age}')",
    "I('a')",
    "'age'",
    '"age"',
    "I([age for age in age])",
    "I(*age)",
    "I(**age)",
    "I(age := 1)",
    "I(await age)",
    "I(yield)",
    "I(age if age else age)",
    "I(age and age)",
    "I(not age)",
    "I(age > 1)",
    "I(age @ age)",
    "I(age % 2)",
    "I(age // 2)",
    "I(~age)",
    "I(age | age)",
    "I(9**9**9)",
    "I((9**5)**5)",
    "I(age**9**9)",
    "I(age**999)",
    "I(age**age)",
    "I(age**-1)",
    "I(age**0.5)",
    "I(1e999 * age)",
    "I(" + "9" * 400 + " * age)",
    "I(0x10 * age)",
    "I(1_000 * age)",
    "I(1j * age)",
    "I(007 * age)",
    "I(age, 1)",
    "I()",
    "I(1)",
    "log(2)",
    "I(`lambda` : 5)",
    "I(`lambda`)",
    "I(`it's` + `'`)",
    "I(``)",
    "``",
    "`a\\`",
    "`__class__`",
    "__FORMULAIC_STATE__",
    "I(__FORMULAIC_CONTEXT__)",
    "`open`(age)",
    "I(`open`(age))",
    "C(age, levels=['a)', 'b'])",
    "C(age, levels=['a)+open(1)', 'b'])",
    "C(age, levels=['`', '`'])",
    "C(age, levels=['\\'])",
    "C(age, levels=[['a']])",
    "C(age, levels=[])",
    "C(age, levels=['{open}'])",
    "C(I(age))",
    "I(C(age))",
    "log(bs(age, df=4))",
    "bs(age, df=1000000000)",
    "bs(age, df=open)",
    "bs(age, knots=age)",
    "bs(age, 4, 4)",
    "bs(age, df=4, df=5)",
    "cr(age, df=4, constraints='a = b')",
    "poly(age, 99999)",
    "poly(age, _state={})",
    "scale(age, center=age)",
    "ｏｐｅｎ('x')",  # fullwidth letters, which Python reads as open
    "ｌｏｇ(age)",
    "I(ａge)",
    "lоg(age)",  # a Cyrillic o
    "I(`µ`)",
    "age\0",
    "I(age\0)",
    "age;age",
    "age\\",
    "age #",
    "age ~ sex",
    "~ age",
    "age | sex",
    ".",
    "age + .",
    "age ^ 2",
    "age %in% sex",
    "age in sex",
    "in",
    "None",
    "I(True)",
    "I(None)",
    "age\u00a0+ sex",
    "age age",
    "age (sex)",
    "log (age)",
    "(age)(sex)",
    "age +",
    "+ age",
    "-age",
    "age + * sex",
    "(age",
    "age)",
    "`age",
    "log(age",
    "0",
    "0 + age",
    "age - 1",
    "age - (1)",
    "age - (1 + sex)",
    "2:age",
    "(1 + age):sex",
    "1e5",
    "age**0",
    "age**sex",
    "age**(2)",
    "(" * 50 + "age" + ")" * 50,
    "I(" + "(" * 5000 + "age" + ")" * 4000,
    "I(" + "-" * 5000 + "age)",
    "log(" * 1000 + "age" + ")" * 1000,
    "(a + b)**500",
    "(a + b + c + d)**5",
    "a*b*c*d*e*f",
    "a:b:c:d:e:f",
    "a/b/c/d/e/f",
    "((a + b)**3)**3",
    " + ".join(f"x{k}" for k in range(501)),
    "a" * 10_001,
]

ACCEPTED = {
    "": set(),
    " \n ": set(),
    "1": set(),
    "age": {"age"},
    "age + node_positive + log(cea)": {"age", "node_positive", "cea"},
    "age\n  + sex": {"age", "sex"},
    "age*sex + age:sex + sex/age": {"age", "sex"},
    "(age + sex + cea)**2 - age:sex": {"age", "sex", "cea"},
    "`largest (mm)` + log(`CEA (ug/l)`)": {"largest (mm)", "CEA (ug/l)"},
    "`in` + `Crohn's` + `µg`": {"in", "Crohn's", "µg"},
    "C(stage)": {"stage"},
    "C(rx, levels=['Obs', 'Lev+5FU', \"Lev\"])": {"rx"},
    "C(stage, levels=[2, 1, 3.5, -1, True])": {"stage"},
    "I((age - 60)**2 / 10 + log(cea + 1))": {"age", "cea"},
    "scale(log(cea), center=False) + center(age)": {"age", "cea"},
    "bs(age, df=4, degree=3, lower_bound=-1, upper_bound=99.5)": {"age"},
    "bs(age, 5) + cr(log(cea), knots=[1, 2.5])": {"age", "cea"},
    "poly(age, 2) + poly(cea, degree=2, raw=True)": {"age", "cea"},
    "sqrt(nodes) + exp(-x)": {"nodes", "x"},
    "âge + größe": {"âge", "größe"},
    " + ".join(f"x{k}" for k in range(500)): {f"x{k}" for k in range(500)},
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: text[:40])
def test_whatever_is_no_plain_formula_is_refused_in_one_short_line(attack):
    started = time.process_time()
    with pytest.raises(FormulaError) as refused:
        check_formula(attack)
    assert time.process_time() - started < 1
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("formula", ACCEPTED, ids=lambda text: text[:40])
def test_an_ordinary_formula_names_its_columns(formula):
    assert check_formula(formula) == ACCEPTED[formula]


def test_the_message_names_the_function_and_the_allowed_ones():
    with pytest.raises(FormulaError) as refused:
        check_formula("age + __import__('os').system('x')")
    assert "'__import__'" in str(refused.value)
    assert "character 7" in str(refused.value)
    for name in ALLOWED_FUNCTIONS:
        assert name in str(refused.value)


@pytest.mark.parametrize("value", [None, 3, True, ["age"], b"age"])
def test_a_formula_that_is_no_text_is_refused(value):
    with pytest.raises(FormulaError, match="not text"):
        check_formula(value)


PIECES = [
    *ALLOWED_FUNCTIONS,
    *"+-*/:()[]{}`'\"=,.|~^%\\ \n@;#<>!&",
    *("age", "sex", "`a b`", "1", "2", "0", "1e3", "**", "df=", "levels=", "True", "in", "lambda"),
    *("open", "__class__", "é", "µ", "ｏ", "\0", "(age)", "log(age)", "C(sex)", "'x'"),
]
formula_like = st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.text())

columns = st.sampled_from(["age", "sex", "cea", "`a b`", "`in`", "`Crohn's`"])
plain_columns = st.sampled_from(["age", "cea", "`a b`", "`CEA (ug/l)`"])
arithmetic = st.recursive(
    plain_columns,
    lambda inner: st.one_of(
        st.builds("{}({})".format, st.sampled_from(["log", "exp", "I", "center"]), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("({} {} 2.5)".format, inner, st.sampled_from("+-*/")),
        inner.map("({})**2".format),
        inner.map("-{}".format),
    ),
    max_leaves=5,
)
calls = st.one_of(
    st.builds("{}({})".format, st.sampled_from(["log", "sqrt", "I", "scale"]), arithmetic),
    arithmetic.map("bs({}, df=4)".format),
    arithmetic.map("poly({}, 2)".format),
    columns.filter(lambda name: name not in ("`in`", "`Crohn's`")).map(
        "C({}, levels=['a b', \"c+d\", 3])".format
    ),
)
formulas = st.recursive(
    columns | calls,
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["+", "-", "*", ":"]), inner),
        inner.map("({})".format),
        st.builds("({} + {})**2".format, columns, columns),
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=1000)
@given(formula_like)
def test_any_text_is_either_read_or_refused(text):
    try:
        read = check_formula(text)
    except FormulaError as refused:
        assert str(refused).isprintable()
    else:
        assert_formulaic_reads_it_as_we_do(text, read)


@settings(max_examples=300, deadline=1000)
@given(formulas)
def test_formulaic_reads_accepted_formulas_as_we_do(text):
    try:
        read = check_formula(text)
    except FormulaError as refused:
        assert "product of" in str(refused) or "terms" in str(refused)
    else:
        assert_formulaic_reads_it_as_we_do(text, read)


HARMLESS = (
    ast.Expression,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.keyword,
    ast.List,
    ast.BinOp,
    ast.UnaryOp,
    ast.USub,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
)


def assert_formulaic_reads_it_as_we_do(text, columns):
    """All that formulaic would evaluate as Python is a call of a listed function on columns."""
    seen = set()
    for token in formulaic_tokenize(text):
        if token.kind.value == "name":
            assert token.token in columns
            seen.add(token.token)
        if token.kind.value != "python":
            continue
        source = token.token
        quoted = {name for name in columns if f"`{name}`" in source}
        for name in quoted:
            source = source.replace(f"`{name}`", f" column_{abs(hash(name))} ")
        tree = ast.parse(source, mode="eval")
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert isinstance(tree.body, ast.Call)
        for node in ast.walk(tree):
            assert isinstance(node, HARMLESS)
        for function in called:
            assert isinstance(function, ast.Name)
            assert function.id in ALLOWED_FUNCTIONS
        names = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called
        }
        plain = names - {f"column_{abs(hash(name))}" for name in quoted}
        assert plain <= columns
        seen |= plain | quoted
    assert seen == columns


def patients():
    rng = np.random.default_rng(20211201)
    return pd.DataFrame(
        {
            "age": rng.integers(40, 90, 40),
            "cea": rng.exponential(5, 40) + 0.1,
            "sex": np.tile(["f", "m"], 20),
            "early": np.tile([True, False, False, True], 10),
            "stage": np.tile([1, 2, 3, 4], 10),
            "CEA (ug/l)": rng.exponential(5, 40) + 0.1,
            "it's": rng.normal(size=40),
            "in": rng.normal(size=40),
            "none": 0.0,
            "log": 1.0,
            "open": 1.0,
        },
        index=np.arange(40) * 2,
    )


@pytest.fixture
def table():
    return patients()


@pytest.mark.parametrize(
    ("formula", "names", "rank"),
    [
        ("", [], 0),
        ("age", ["age"], 1),
        ("age + log(cea)", ["age", "log(cea)"], 2),
        ("sex", ["sex[T.m]"], 1),
        ("early", ["early"], 1),
        ("age*sex", ["age", "sex[T.m]", "age:sex[T.m]"], 3),
        ("C(stage)", ["C(stage)[T.2]", "C(stage)[T.3]", "C(stage)[T.4]"], 3),
        ("cr(age, df=3)", [f"cr(age, df=3)[{k}]" for k in (1, 2, 3)], 3),
        ("bs(age, df=4)", [f"bs(age, df=4)[{k}]" for k in (1, 2, 3, 4)], 4),
        ("poly(age, 2)", ["poly(age, 2)[1]", "poly(age, 2)[2]"], 2),
        ("log(`CEA (ug/l)`) + `it's` + `in`", ["log(`CEA (ug/l)`)", "it's", "in"], 3),
    ],
)
def test_a_formula_gives_named_columns_that_the_intercept_does_not_span(
    table, formula, names, rank
):
    design = evaluate_formula(formula, table)
    assert list(design.columns) == names
    assert list(design.index) == list(table.index)
    with_intercept = np.column_stack([np.ones(len(table)), design.to_numpy(dtype=float)])
    assert np.linalg.matrix_rank(with_intercept) == rank + 1


def test_transforms_have_their_usual_values(table):
    design = evaluate_formula("log(cea) + sqrt(cea) + exp(-cea) + I(age**2) + scale(age)", table)
    age = table["age"].astype(float)
    expected = [np.log(table["cea"]), np.sqrt(table["cea"]), np.exp(-table["cea"]), age**2]
    expected.append((age - age.mean()) / age.std(ddof=1))
    np.testing.assert_allclose(design.to_numpy(), np.column_stack(expected), rtol=1e-12)


def test_powers_of_whole_numbers_do_not_wrap_around(table):
    table["large"] = 10**5
    design = evaluate_formula("I(large**5)", table)
    np.testing.assert_allclose(design.to_numpy(), 1e25)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("agee", "'agee', which is not a column; did you mean 'age'"),
        ("log(none)", "log.*'none'.*40 rows.*value 0; give values above 0"),
        ("log(age - 60)", r"log\(\) of a term in 'age' is not finite in \d+ rows"),
        ("sqrt(-cea)", "sqrt.*values of 0 or above"),
        ("exp(age * 1000)", "exp.*smaller values"),
        ("I(age / none)", "not finite.*divides by 0"),
        ("log(sex)", "'sex', which holds no numbers"),
        ("I(sex + sex)", "'sex', which holds no numbers"),
        ("C(sex, levels=['m'])", "cannot be evaluated.*categories"),
        ("bs(age, df=1)", "cannot be evaluated.*df"),
        ("log(age) + log", "'log' as a function and as a column"),
        ("I(exec)", "'exec', which is not a column"),
        ("np", "'np', which is not a column"),
    ],
)
def test_what_has_no_value_is_said_in_one_sentence(table, formula, message):
    with pytest.raises(FormulaError, match=message) as refused:
        evaluate_formula(formula, table)
    assert str(refused.value).isprintable()


def test_missing_values_are_counted_and_no_row_is_dropped(table):
    table.loc[table.index[:3], "cea"] = np.nan
    with pytest.raises(FormulaError, match="'cea', which is missing in 3 rows"):
        evaluate_formula("age + log(cea)", table)


def test_a_column_named_as_a_function_or_a_builtin_is_a_column(table):
    # what the formula does not name is out of its sight, so a column 'log' hides no function
    assert list(evaluate_formula("log(age) + open", table).columns) == ["log(age)", "open"]
    assert list(evaluate_formula("age + log", table).columns) == ["age", "log"]


def test_the_context_holds_the_allowed_functions_only():
    assert set(evaluation_context()) == set(ALLOWED_FUNCTIONS)


def test_columns_are_told_apart_by_use():
    parsed = parse_formula("age + C(stage) + log(cea)")
    assert parsed.categorical == {"stage"}
    assert parsed.numeric == {"cea"}
    assert parsed.functions == {"C", "log"}


def test_the_longest_formula_is_evaluated_within_seconds():
    names = [f"x{k}" for k in range(500)]
    table = pd.DataFrame(np.eye(501)[:, :500], columns=names)
    started = time.process_time()
    design = evaluate_formula(" + ".join(names), table)
    assert time.process_time() - started < 20
    assert design.shape == (501, 500)


def test_checking_a_formula_imports_neither_formulaic_nor_pandas():
    code = (
        "import sys, bayes_crlm.model.formula as f; f.check_formula('age + log(cea)'); "
        "print([m for m in ('formulaic', 'pandas', 'numpy', 'pymc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PLAIN_TERMS = st.sampled_from(
    ["age", "cea", "sex", "early", "C(stage)", "C(age)", "log(cea)", "exp(none)", "sqrt(age)",
     "`CEA (ug/l)`", "`it's`", "`in`", "stage", "C(early)", "C(sex)", "site"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(PLAIN_TERMS, min_size=1, max_size=6), st.sampled_from(["+", " + ", "  +"]))
def test_a_sum_of_columns_is_expanded_as_formulaic_does(terms, plus):
    table = patients().assign(
        site=pd.Categorical(
            np.tile(["c", "a", "b", "a"], 10), categories=["b", "c", "a", "never seen"]
        ),
        age=lambda rows: rows["age"] // 10,
    )
    text = plus.join(terms)
    data = formula_data(parse_formula(text), table)
    plain = plain_formula.plain_columns(plain_terms(text), data)
    right = expanded(text, data, None)
    assert list(plain.columns) == list(right.columns)
    np.testing.assert_array_equal(plain.to_numpy(dtype=float), right.to_numpy(dtype=float))
    assert plain.attrs["variables"] == right.attrs["variables"]
    assert list(plain.index) == list(right.index)


@pytest.mark.parametrize(
    "text",
    ["age:sex", "age*sex", "1 + age", "age - sex", "log(age + 1)", "C(stage, levels=[1, 2])",
     "(age)", "age**2", "bs(age, df=4)", "log( age)", "log(`it's`)", "center(age)", "I(age)"],
)  # fmt: skip
def test_anything_but_a_sum_of_columns_is_left_to_formulaic(text):
    assert plain_terms(text) is None


def test_a_sum_of_columns_does_without_formulaic(tmp_path):
    code = (
        "import sys, pandas as pd; from bayes_crlm.model.formula import evaluate_formula as e; "
        "t = pd.DataFrame({'age': [50.0, 60, 71], 'cea': [1.0, 2, 9], 'sex': ['m', 'f', 'm']}); "
        "print(list(e('log(cea) + sex', t).columns), "
        "[m for m in ('formulaic', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['log(cea)', 'sex[T.m]'] []"
