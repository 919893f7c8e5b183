#!/usr/bin/env python3
"""Makes tests/vectors/chat.json: chat templates, conversations and what Jinja renders from them.

Needs `pip install jinja2`. The environment is the one that chat templates are written for: sandboxed and
immutable, trim_blocks, lstrip_blocks, loop controls, {% generation %}, and tojson without HTML escapes.
    python3 tools/make_chat_vectors.py [--corpus DIR] [TEMPLATE.jinja ...] > chat.json
Template files given are rendered too. --corpus writes each template as a file, to seed the fuzzer."""
import json
import pathlib
import sys
import time

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = 1735732800  # 2025-01-01 12:00 UTC


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def make_environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: time.strftime(form, time.gmtime(NOW))
    return env


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


SHORT = turns(("user", "Hi"))
CHATS = [
    SHORT,
    turns(("system", "Be brief."), ("user", " What is 2 + 2? \n"), ("assistant", "Four. "), ("user", "Sure?")),
    turns(("user", "Gr\u00fc\u00dfe \u2014 \U0001f600"), ("assistant", "\n\nHallo <|eot_id|> & \"you\"\n"), ("user", "a\tb")),
    turns(("assistant", "I begin."), ("user", "No.")),
    turns(("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nanswer"), ("user", "r"), ("assistant", "plain")),
    [],
]

# Expressions and statements, each rendered with SHORT.
SNIPPETS = r'''
{{ 1 }} {{ 1.0 }} {{ 1/2 }} {{ 4/2 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-4 }} {{ 0.00001 }} {{ 1.5e300 }} {{ 0.1+0.2 }} {{ -0.0 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}
{{ True }} {{ false }} {{ none }} {{ None }} {{ nothing }} [{{ nothing | default('d') }}] {{ '' | default('x', true) }} {{ ''|d('x') }} {{ none|default('n') }}
{{ [1, 'a', none, True, 1.5, "it's", 'say "x"', '\n\t\\', [], {}, (), (1,), (1, 2)] }}
{{ {'a': 1, 'b': [2], 3: 'c'} }} {{ {'a': 1}.a }} {{ {'a': 1}['a'] }} {{ {'a': 1}.b }} {{ {'items': 5}['items'] }}
{{ 'a' 'b' "c" }} {{ 'x\x41\u00e9\U0001F600\101' }} {{ 'q\'q' }} {{ "\q" }}
{{ 'a' + 'b' ~ 1 ~ none ~ True ~ 1.0 ~ [1] }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ [1] + [2] }} {{ 'x' * -1 }}|
{{ 1 == 1.0 }} {{ 1 == True }} {{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }} {{ none == undefinedx }} {{ undefinedx == undefinedy }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ [1, 2] < [1, 3] }} {{ 1 != 2 }} {{ 2 >= 2 }} {{ 1 <= 0 }}
{{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ 1 in [1] }} {{ 'a' in {'a': 1} }} {{ '' in '' }} {{ 'x' in undefinedx }} {{ not 1 in [2] }}
{{ 1 and 0 }} {{ 0 or 'x' }} {{ not '' }} {{ 1 or undefinedx.y }} {{ '' and 1 }}| {{ not not 1 }} {{ none and 1 }}
{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }}| {{ 1 if 0 else 2 if 0 else 3 }} {{ ('a' if 1 else 'b') ~ 'c' }}
{{ 'abcdef'[1:3] }} {{ 'abcdef'[-2:] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[::2] }} {{ 'abc'[5:] }}| {{ 'abc'[-1] }} {{ 'abc'[9] }}| {{ 'äöü'[1:] }} {{ 'äöü'[0] }}
{{ [1,2,3,4][1:] }} {{ [1,2,3,4][:-1] }} {{ [1,2,3,4][::-1] }} {{ [1,2,3,4][-3:-1] }} {{ (1,2,3)[1:] }} {{ [1,2,3][5:1:-1] }} {{ [1,2,3,4][3:0:-2] }}
{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[-1].role }} {{ messages[5] }}| {{ messages[0].nope }}| {{ messages.0.role }} {{ messages|length }}
{{ messages[0].get('x') }} {{ messages[0].get('x', 'd') }} {{ messages[0].get('role') }} {{ messages[0].keys()|list }} {{ messages[0].values()|list }} {{ messages[0].items()|list }}
{{ '  x '|trim }}| {{ '  x '.strip() }}| {{ '  x '.lstrip() }}| {{ '  x '.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'abcba'.lstrip('ab') }} {{ 'abcba'|trim('a') }} {{ '\u00a0\u3000x\u2003'|trim }}|
{{ 'hello wORLD'|capitalize }} {{ 'hello wORLD'|upper }} {{ 'HeLLO'|lower }} {{ "hello wORLD's-end (foo)"|title }} {{ "they're bill's".title() }} {{ 'straße é'|upper }} {{ 'ÉA'.lower() }} {{ 'éa b'.capitalize() }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.rsplit(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('b')[-1] }}
{{ 'a</think>b</think>c'.split('</think>')[0].split('x')[-1].lstrip('\n') }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\n\nb'.splitlines(true) }}
{{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'ababa'.rfind('a') }} {{ 'ababab'.count('ab') }} {{ 'öxö'.find('ö', ) }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }} {{ '12'.isdigit() }}
{{ 'aXbXc'.replace('X', '-') }} {{ 'aXbXc'.replace('X', '-', 1) }} {{ 'abc'|replace('', '.') }} {{ 'aaa'|replace('a', 'aa') }} {{ ''.replace('', 'x') }} {{ 5|replace(5, 6) }}
{{ ', '.join(['a', 'b']) }} {{ [1, none, 'x']|join('-') }} {{ messages|join(',', attribute='role') }} {{ 'abc'|join('.') }} {{ []|join }}|
{{ messages|tojson }} {{ {'a': [1, 2.5, true, none, "é\"\\\n\u0001</x>"], 'b': {}, 'c': []}|tojson }} {{ 'é'|tojson(ensure_ascii=true) }} {{ '😀'|tojson(true) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ [1,2]|tojson(separators=(',', ':')) }} {{ {1: 2, true: 3, none: 4}|tojson }}
{{ {'a': [1, {'b': []}], 'c': {}}|tojson(indent=2) }} {{ [[], {}]|tojson(indent=4) }} {{ []|tojson(indent=1) }}
{{ 'abc'|length }} {{ 'äöü'|count }} {{ {'a': 1}|length }} {{ undefinedx|length }} {{ (1, 2)|length }}
{{ [1,2]|first }} {{ [1,2]|last }} {{ 'abc'|first }} {{ 'abc'|last }} {{ []|first }}| {{ 'abc'|list }} {{ {'a': 1}|list }} {{ 'abc'|reverse }} {{ [1,2]|reverse|list }}
{{ '42'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 3.9|int }} {{ '3.9'|int }} {{ 'ff'|int(base=16) }} {{ '1.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ true|int }} {{ 1.5|string ~ 'x' }} {{ -3.5|abs }} {{ 2.5|round }} {{ 3.14159|round(2) }} {{ 2.1|round(method='ceil') }} {{ 7|round }}
{{ [3,1,2]|sort }} {{ ['b','A','c']|sort }} {{ ['b','A']|sort(case_sensitive=true) }} {{ [1,2,3]|sort(reverse=true) }} {{ [{'n': 2}, {'n': 1}]|sort(attribute='n') }} {{ [1,1,2,'a','A']|unique|list }} {{ [3,1]|min }} {{ [3,1]|max }} {{ [1,2,3]|sum }} {{ [{'n': 2}, {'n': 1}]|sum(attribute='n') }} {{ ['b','a']|max }}
{{ {'b': 1, 'a': 2}|dictsort }} {{ {'b': 1, 'a': 2}|dictsort(by='value') }} {{ {'b': 1, 'a': 2}|items|list }} {{ {'b': 1, 'a': 2}|dictsort(reverse=true) }}
{{ messages|map(attribute='role')|list }} {{ ['a','b']|map('upper')|join }} {{ [1,2,3]|select('odd')|list }} {{ [1,2,3]|reject('odd')|list }} {{ [0,1,'']|select|list }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|rejectattr('role', 'eq', 'user')|list }} {{ [{'a': 1}, {}]|map(attribute='a', default=0)|list }} {{ [{'a': {'b': 5}}]|map(attribute='a.b')|first }} {{ [1,2,3]|select('gt', 1)|list }} {{ ['a','b']|select('in', ['b'])|list }} {{ [' a ']|map('trim')|map('replace', 'a', 'b')|list }}
{{ '<a href="x">&\'</a>'|e }} {{ '<b>'|safe }} {{ '<b>'|escape|upper }}
{{ 'a\nb\n\nc'|indent }} {{ 'a\nb'|indent(2, true) }} {{ 'a\n\nb'|indent(2, blank=true) }} {{ 'a\nb'|indent('> ') }}
{{ '%s is %d, %.2f %%'|format('x', 5, 1.234) }} {{ '%s-%s' % ('a', 1) }} {{ '%05d' % 42 }} {{ 'n=%s' % none }} {{ '{} {1} {0}'.format('a', 'b') if false else '{} {}'.format('a', 2) }} {{ '{x}{{}}'.format(x=1) }}
{{ x is defined }} {{ messages is defined }} {{ x is undefined }} {{ none is none }} {{ 'a' is string }} {{ 1 is string }} {{ 1 is number }} {{ true is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }}
{{ {} is mapping }} {{ [] is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ {} is sequence }} {{ 1 is sequence }} {{ [] is iterable }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ none is iterable }} {{ x is iterable }} {{ x is sequence }} {{ range is callable }} {{ 1 is callable }} {{ namespace() is mapping }} {{ messages[0].content.split is defined }}
{{ 3 is odd }} {{ 3 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 1 is in [1] }} {{ 3 is gt 2 }} {{ 'a' is lower }} {{ 'A1' is upper }} {{ x is not defined }} {{ x is not defined and 1 is odd }} {{ not x is defined }} {{ 1 is ne 1 }} {{ none is sameas none }} {{ 1 is sameas true }}
{% set a = 1 %}{% for i in [1, 2] %}{% set a = a + i %}{{ a }},{% endfor %}{{ a }}
{% set ns = namespace(n=0, s='') %}{% for i in range(5) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }} {{ ns.s }} {{ ns.zz is defined }}
{% for x in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.cycle('a', 'b') }};{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }};{% endfor %}{% for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %}{% for k in {'x': 1} %}{{ k }}{% endfor %}{% for c in 'äb' %}{{ c }}.{% endfor %}{% for x in undefinedx %}no{% endfor %}
{% for x in [1,2,3,4] if x is even %}{{ x }}{{ loop.length }}{{ loop.last }} {% endfor %}{% for x in [] %}a{% else %}empty{% endfor %}{% for x in [1] if false %}a{% else %}none{% endfor %}
{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1,2] %}{% for y in [1,2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.depth }} {% endfor %}{{ loop.index }}{% endfor %}
{% for i in [1,2] %}{% if loop.first %}{% set q = 'seen' %}{% endif %}[{{ q }}]{% endfor %}
{% if 0 %}a{% elif '' %}b{% elif 1 %}c{% else %}d{% endif %}{% if none %}x{% else %}y{% endif %}{% if not messages %}x{% endif %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% set t = 1, 2 %}{{ t }}{% set u = (1,) %}{{ u }}
{% set x %}block {{ 1 + 1 }}{% endset %}{{ x|upper }}{% set y | trim | upper %}  z  {% endset %}[{{ y }}]
{% macro m(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 2) }} {{ m(1, c=3) }} {{ m(b=1, a=2) }} {{ m() }}|
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }} {% set k = 9 %}{% macro g() %}{{ k }}{% endmacro %}{{ g() }}{% set k = 8 %}{{ g() }}
{% macro w(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call w('b') %}in{% endcall %}
{% filter upper %}abc {{ 'd' }}{% endfilter %} {% filter trim|replace('a', 'b') %} aa {% endfilter %}|
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}| {% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}|
{% generation %}gen {{ 1 }}{% endgeneration %} {% raw %}{{ not }} {% x %}{% endraw %}!
{{ range(3)|list }} {{ range(1, 4)|list }} {{ range(5, 0, -2)|list }} {% for i in range(2) %}{{ i }}{% endfor %}
{{ dict(a=1, b=2) }} {{ dict({'z': 1}, **{'y': 2}) }} {{ range(*[1, 3])|list }} {{ dict({'x': 1}, y=2) }} {{ strftime_now('%Y-%m-%d %d %b %Y') }} {{ bos_token }} {{ eos_token }} {{ tools }} {{ documents is none }} {{ add_generation_prompt }}
{{ (messages|selectattr('role', 'eq', 'zzz')) and 'true' }} {{ 'x' if messages|map('upper') else 'y' }}
{{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 0o17 }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ (1, 2,) }} {{ 'a'|upper|lower|trim }} {{ -1|abs }} {{ +1 }} {{ - 1 + 2 }}
{{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ {'a': {'b': [10, 20]}}['a']['b'][-1] }} {{ none.x }}| {{ 'x'[0].y }}|
{{ 10 * 2 ~ 'x' }} {{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 - 2 - 1 }} {{ 8 / 2 / 2 }} {{ 2 * 3 % 4 }}
{{ 'A' if true and not false or undefinedx else 'B' }} {{ 1 in [1] and 2 not in [1] }} {{ 1 if 'x' is string and 'x'|length == 1 }}
{{ messages[0]['content'] | trim + '<|end|>' }} {{ '<' ~ messages[0].role|upper ~ '>' }} {{ (messages[0].content + ' ')|trim|length }}
'''.strip("\n").split("\n")

SNIPPETS += [
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc\n\n",
    "a\n  {{ 1 }}\n  {{- 2 -}}\n b", "  {#- c -#}  x {# y #}\n z", "{# a #}\n{# b #}\nx\n", "x {% if 1 %} \n y{% endif %} \n",
    "a\n  {%+ if true %}\n  b\n  {% endif +%}\nc", "\r\n{% if 1 %}\r\na\r{% endif %}b\r\n", "{% if 1 %}\n\n\na{% endif %}\n\n",
    "\t {% set x = 1 %}\t \n\t{{ x }}\n", "x\n {#\n multi\n line #}\n y", "{{- ' a ' -}} \n b", "{% for i in [1,2] -%}\n  {{ i }}\n{% endfor %}", "{}{ {% raw %} {{ }} {%- endraw %} }",
    "{{ {'a': {'b': 1}} }}{{ '}}' }}{{ '%}' }}", "line\n{% raw %}\n  {{ x }}\n  {% endraw %}\nend", "{{ 'a\nb' }}", " {% if 1 %}x{% endif %}",
]

FAILURES = r'''
{{ x.y }}
{{ x['y'] }}
{{ messages[0].nope.deeper }}
{{ x + 1 }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ 1 < 'a' }}
{{ x() }}
{{ none() }}
{{ 1 in 2 }}
{{ 1 in 'a' }}
{{ none|length }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ x|tojson }}
{{ raise_exception('the roles must alternate') }}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% set a, b = [1, 2, 3] %}
{% set s.x = 1 %}
{{ [1].append(2) }}
{{ {}.update({'a': 1}) }}
{{ 'a'.split('') }}
{{ 'a'|nofilter }}
{{ 1 is notest }}
{{ (messages|map(attribute='role'))|length }}
{{ range(200000) }}
{{ 'x'.nomethod() }}
{{ {}|dictsort(1, 2, 3, 4) }}
{{ [1, 'a']|sort }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(z=2) }}
{{ {[1]: 2} }}
{{ 'a'|trim(1, 2) }}
{{ '%d' % 'x' }}
{{ 5|join }}
{{ ','.join([1]) }}
{% if x %}
{% endif %}
{{ 1
{{ 'abc }}
{% for x in %}{% endfor %}
{{ ) }}
{{ (1 }}
{{ 1 + }}
{% foo %}
{% set = 1 %}
{# no end
{{ 'a' is }}
{{ 1 | }}
{% break %}
{{ a b }}
{% if %}{% endif %}
{% else %}
{{ [1, }}
{% endfor %}
{% macro %}{% endmacro %}
{{ f(a=1, 2) }}
{{ dict(**[1]) }}
{{ range(*5) }}
{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}
{{ 1 $ 2 }}
{% for x in [1] %}
'''.strip("\n").split("\n")

# Templates in the manner of published ones: the formats are those of the models named, the wording is ours.
TEMPLATES = {
    "weft": "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
    "bitnet_style": "{% for m in messages %}{% set who = m['role'] | capitalize %}{% if loop.first %}{{ bos_token }}{% endif %}{{ who + ': ' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "chatml_masked": "{%- for m in messages %}\n    {{- '<|im_start|>' ~ m.role ~ '\\n' }}\n    {%- if m.role == 'assistant' %}\n        {%- generation %}{{ m.content }}<|im_end|>{% endgeneration %}\n    {%- else %}\n        {{- m.content ~ '<|im_end|>' }}\n    {%- endif %}\n    {{- '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n",
    "zephyr_style": "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    "llama2_style": "{% if messages and messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set first = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set first = false %}{% endif %}{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('user and assistant must take turns') }}{% endif %}{% if loop.index0 == 0 and first != false %}{% set text = '<<SYS>>\\n' + first + '\\n<</SYS>>\\n\\n' + m['content'] %}{% else %}{% set text = m['content'] %}{% endif %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "llama3_style": "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n        {%- set date_string = strftime_now('%d %b %Y') %}\n    {%- else %}\n        {%- set date_string = '26 Jul 2024' %}\n    {%- endif %}\n{%- endif %}\n{%- if not tools is defined %}\n    {%- set tools = none %}\n{%- endif %}\n{%- if messages and messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content'] | trim %}\n    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system = '' %}\n{%- endif %}\n{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n{%- if tools is not none %}\n    {{- 'Tools: ' }}\n    {%- for t in tools %}\n        {{- t | tojson(indent=4) }}\n    {%- endfor %}\n{%- endif %}\n{{- 'Today: ' + date_string + '\\n\\n' }}\n{{- system }}\n{{- '<|eot_id|>' }}\n{%- for message in messages %}\n    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}\n        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}\n    {%- elif 'tool_calls' in message %}\n        {%- if not message.tool_calls|length == 1 %}\n            {{- raise_exception('one call at a time') }}\n        {%- endif %}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n",
    "gemma_style": "{{ bos_token }}{% if messages and messages[0]['role'] == 'system' %}{{ raise_exception('there is no system role') }}{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('user and assistant must take turns') }}{% endif %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}{{ '<start_of_turn>' + role + '\n' + (m['content'] | trim) + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "mistral_style": "{%- if messages and messages[0]['role'] == 'system' %}\n  {%- set system = messages[0]['content'] %}\n  {%- set turns = messages[1:] %}\n{%- else %}\n  {%- set turns = messages %}\n{%- endif %}\n{%- set users = turns | selectattr('role', 'equalto', 'user') | list %}\n{%- set ns = namespace() %}\n{%- set ns.index = 0 %}\n{%- for m in turns %}\n  {%- if not (m.role == 'tool' or (m.tool_calls is defined and m.tool_calls is not none)) %}\n    {%- if (m['role'] == 'user') != (ns.index % 2 == 0) %}\n      {{- raise_exception('user and assistant must take turns') }}\n    {%- endif %}\n    {%- set ns.index = ns.index + 1 %}\n  {%- endif %}\n{%- endfor %}\n{{- bos_token }}\n{%- for m in turns %}\n  {%- if m['role'] == 'user' %}\n    {%- if loop.last and system is defined %}\n      {{- '[INST] ' + system + '\\n\\n' + m['content'] + '[/INST]' }}\n    {%- else %}\n      {{- '[INST] ' + m['content'] + '[/INST]' }}\n    {%- endif %}\n  {%- elif m['role'] == 'assistant' %}\n    {{- ' ' + m['content'] + eos_token }}\n  {%- else %}\n    {{- raise_exception('unknown role ' + m['role'] + ', ' + users|length|string + ' users') }}\n  {%- endif %}\n{%- endfor %}\n",
    "qwen3_style": "{%- set ns = namespace(several=true, last=messages|length - 1) %}\n{%- for m in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n    {%- if ns.several and m.role == 'user' and m.content is string and not (m.content.startswith('<tool>') and m.content.endswith('</tool>')) %}\n        {%- set ns.several = false %}\n        {%- set ns.last = index %}\n    {%- endif %}\n{%- endfor %}\n{%- for m in messages %}\n    {%- set content = m.content if m.content is string else '' %}\n    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}\n        {{- '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>' + '\\n' }}\n    {%- elif m.role == 'assistant' %}\n        {%- set thought = '' %}\n        {%- if m.reasoning_content is string %}\n            {%- set thought = m.reasoning_content %}\n        {%- elif '</think>' in content %}\n            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}\n            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n        {%- endif %}\n        {%- if loop.index0 > ns.last and (loop.last or thought) %}\n            {{- '<|im_start|>' + m.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}\n        {%- else %}\n            {{- '<|im_start|>' + m.role + '\\n' + content }}\n        {%- endif %}\n        {{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}\n        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}",
    "deepseek_style": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, system='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_first %}{{'<|Assistant|>'}}{% endif %}",
    "falcon_style": "{% for message in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}{% if message['role'] == 'system' %}{{ 'System: ' + message['content'] }}{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'].replace('\r\n', '\n').replace('\n\n', '\n') }}{% else %}{{ 'Falcon: ' + message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\n' + 'Falcon:' }}{% endif %}",
    "phi_style": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "command_style": "{% macro turn(role, text) %}<|START|><|{{ role | upper }}|>{{ text | trim }}<|END|>{% endmacro %}{{ bos_token }}{% if messages and messages[0].role == 'system' %}{% set turns = messages[1:] %}{{ turn('system', messages[0].content) }}{% else %}{% set turns = messages %}{% endif %}{% for m in turns %}{{ turn('chatbot' if m.role == 'assistant' else m.role, m.content) }}{% endfor %}{% if add_generation_prompt %}<|START|><|CHATBOT|>{% endif %}",
}


def render(env, source, messages, generation_prompt):
    case = {"template": source, "messages": messages, "add_generation_prompt": generation_prompt}
    try:
        case["text"] = env.from_string(source).render(
            messages=messages, add_generation_prompt=generation_prompt, bos_token="<s>", eos_token="</s>",
            tools=None, documents=None)
    except Exception as error:
        case["fails"] = str(error)
    return case


def main():
    arguments, corpus = sys.argv[1:], None
    if arguments[:1] == ["--corpus"]:
        corpus, arguments = pathlib.Path(arguments[1]), arguments[2:]
    env, cases, sources = make_environment(), [], []
    for source in SNIPPETS + FAILURES:
        case = render(env, source, SHORT, False)
        if source in FAILURES and "fails" not in case:
            print("does not fail:", source, case["text"], file=sys.stderr)
        if source in SNIPPETS and "fails" in case:
            print("fails:", source, case["fails"], file=sys.stderr)
        cases.append(case)
        sources.append(source)
    if arguments:
        cases = []
    templates = TEMPLATES if not arguments else {p: pathlib.Path(p).read_text() for p in arguments}
    for name, source in templates.items():
        sources.append(source)
        for chat in CHATS:
            for prompt in (False, True):
                case = render(env, source, chat, prompt)
                case["name"] = name
                cases.append(case)
    if corpus:
        for i, source in enumerate(sources):
            (corpus / f"case_{i:03}").write_text(source)
    json.dump({"now": NOW, "cases": cases}, sys.stdout, ensure_ascii=False, indent=0)
    print()


main()
