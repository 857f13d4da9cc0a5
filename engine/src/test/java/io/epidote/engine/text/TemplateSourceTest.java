package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class TemplateSourceTest {
  @Test
  void trimsAroundBlocksAsJinjaDoes() {
    assertTrimmed("  {% if x %}\n  a\n\t{% endif %}\nb\n", "{% if x %}  a\n{% endif %}b");
    assertTrimmed("a {% if x %} b {% endif %}", "a {% if x %} b {% endif %}");
    assertTrimmed("{{ a }} {% if x %}\n\n{{ b }}\n", "{{ a }} {% if x %}\n{{ b }}");
    assertTrimmed("{{ a }}\n  {{ b }}\n\n", "{{ a }}\n  {{ b }}\n");
    assertTrimmed("  {%+ if x %}", "  {% if x %}");
    assertTrimmed("  {%- if x -%}\n", "{%- if x -%}");
    assertTrimmed("a \n {#- b -#} \n c", "ac");
    assertTrimmed("a\n  {# b {% c %} | d #}\ne", "a\ne");
  }

  @Test
  void takesSourcesThatEndInsideABlock() {
    for (String source : new String[] {"", "{", "{{", "{% '", "{{ 'a\\", "{# a", "{{ a |", "\n"}) {
      assertThat(source).startsWith(TemplateSource.read(source).text());
    }
  }

  @Test
  void namesFiltersButNotWhatStandsInStrings() {
    TemplateSource template =
        TemplateSource.read(
            "|no {{ '<|a|>' | one }}{% if x|two(\"|b\") | three %}{# y | c #}{{ 'it\\'s |d}}'|four }}");
    assertThat(template.filters()).containsExactly("one", "two", "three", "four");
  }

  private static void assertTrimmed(String source, String expected) {
    assertThat(TemplateSource.read(source).text()).isEqualTo(expected);
  }
}
