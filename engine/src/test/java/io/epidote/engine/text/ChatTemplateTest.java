package io.epidote.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ChatTemplateTest {
  private static final String SMOLVLM =
      "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
          + "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
          + "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
          + "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
          + "<end_of_utterance>\n{% endfor %}"
          + "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

  private static final String LLAMA =
      """
      {% if messages[0]['role'] == 'system' %}
          {% set loop_messages = messages[1:] %}
          {% set system_message = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
      {% else %}
          {% set loop_messages = messages %}
          {% set system_message = '' %}
      {% endif %}
      {% for message in loop_messages %}
          {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
              {{ raise_exception('Conversation roles must alternate') }}
          {% endif %}
          {% if loop.index0 == 0 %}
              {% set content = system_message + message['content'] %}
          {% else %}
              {% set content = message['content'] %}
          {% endif %}
          {% if message['role'] == 'user' %}
              {{- bos_token + '[INST] ' + content | trim + ' [/INST]' -}}
          {% elif message['role'] == 'assistant' %}
              {{- ' ' + content | trim + ' ' + eos_token -}}
          {% endif %}
      {% endfor %}
      """;

  private static final String QWEN =
      """
      {%- if messages[0]['role'] == 'system' %}
          {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
      {%- else %}
          {{- '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}
      {%- endif %}
      {%- for message in messages %}
          {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
              {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
          {%- endif %}
      {%- endfor %}
      {%- if add_generation_prompt %}
          {{- '<|im_start|>assistant\\n' }}
      {%- endif %}
      """;

  @TempDir Path folder;

  @Test
  void rendersTheShippedModelsTemplate() throws IOException {
    ChatTemplate template = open(CheckpointFixture.CHAT_TEMPLATE, true);
    assertThat(
            template.render(
                List.of(
                    ChatTurn.of("system", "be brief"),
                    new ChatTurn(
                        "user",
                        List.of(new Part.Image(), new Part.Image(), new Part.Text("what color?"))),
                    ChatTurn.of("assistant", "red.")),
                true))
        .isEqualTo(
            "<|system|>be brief<end_of_utterance><|user|><image><image>what color?<end_of_utterance>"
                + "<|assistant|>red.<end_of_utterance><|assistant|>");
  }

  @Test
  void rendersSmolVlmsTemplate() throws IOException {
    ChatTemplate template = open(SMOLVLM, true);
    ChatTurn picture = new ChatTurn("user", List.of(new Part.Image(), new Part.Text("What?")));
    assertThat(template.render(List.of(picture), true))
        .isEqualTo("<|im_start|>User:<image>What?<end_of_utterance>\nAssistant:");
    assertThat(
            template.render(
                List.of(ChatTurn.of("system", "Short."), ChatTurn.of("user", "Hi"), picture),
                false))
        .isEqualTo(
            "<|im_start|>System: Short.<end_of_utterance>\nUser: Hi<end_of_utterance>\n"
                + "User:<image>What?<end_of_utterance>\n");
  }

  /** As SmolVLM2's processor does, whose published template knows pictures only. */
  @Test
  void aVideoHasAPlaceholderWhateverTheTemplateKnows() throws IOException {
    ChatTurn video = new ChatTurn("user", List.of(new Part.Video(), new Part.Text("What?")));
    String expected = "<|im_start|>User: <video>What?<end_of_utterance>\nAssistant:";
    assertThat(open(SMOLVLM, true).render(List.of(video), true)).isEqualTo(expected);
    String knowsVideos =
        SMOLVLM.replace(
            "{% endif %}{% endfor %}",
            "{% elif line['type'] == 'video' %}{{ '<video>' }}{% endif %}{% endfor %}");
    assertThat(open(knowsVideos, true).render(List.of(video), true)).isEqualTo(expected);
  }

  /** llava-hf/llava-1.5-7b-hf's, which puts pictures before the text. */
  @Test
  void rendersLlavasTemplate() throws IOException {
    ChatTemplate template =
        open(
            "{% for message in messages %}{% if message['role'] != 'system' %}"
                + "{{ message['role'].upper() + ': '}}{% endif %}"
                + "{# Render all images first #}"
                + "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
                + "{{ '<image>\n' }}{% endfor %}"
                + "{# Render all text next #}"
                + "{% if message['role'] != 'assistant' %}"
                + "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
                + "{{ content['text'] + ' '}}{% endfor %}{% else %}"
                + "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
                + "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}"
                + "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
            true);
    ChatTurn picture = new ChatTurn("user", List.of(new Part.Text("What?"), new Part.Image()));
    assertThat(template.render(List.of(picture), true))
        .isEqualTo("USER: <image>\nWhat? ASSISTANT:");
    assertThat(
            template.render(
                List.of(picture, ChatTurn.of("assistant", "A cat."), ChatTurn.of("user", "Why?")),
                true))
        .isEqualTo("USER: <image>\nWhat? ASSISTANT: A cat. USER: Why? ASSISTANT:");
  }

  @Test
  void rendersLlamasTemplateWithPlainStrings() throws IOException {
    ChatTemplate template = open(LLAMA, false);
    assertThat(
            template.render(
                List.of(
                    ChatTurn.of("system", "Short."),
                    ChatTurn.of("user", " Hi "),
                    ChatTurn.of("assistant", "Hello."),
                    ChatTurn.of("user", "Bye")),
                true))
        .isEqualTo(
            "<s>[INST] <<SYS>>\nShort.\n<</SYS>>\n\n Hi [/INST] Hello. </s><s>[INST] Bye [/INST]");
  }

  @Test
  void rendersQwensTemplateWithWhitespaceControl() throws IOException {
    assertThat(open(QWEN, false).render(List.of(ChatTurn.of("user", "Hi")), true))
        .isEqualTo(
            "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                + "<|im_start|>assistant\n");
  }

  @Test
  void aTemplateCanRefuse() throws IOException {
    ChatTemplate template = open(LLAMA, false);
    assertThatThrownBy(() -> template.render(List.of(ChatTurn.of("assistant", "Hi")), true))
        .isInstanceOf(InvalidRequest.class)
        .hasMessage(
            "the model's chat template refuses the conversation: Conversation roles must alternate");
  }

  @Test
  void textPartsOfATextModelAreJoined() throws IOException {
    ChatTurn turn = new ChatTurn("user", List.of(new Part.Text("one"), new Part.Text("two")));
    assertThat(open("{{ messages[0].content }}", false).render(List.of(turn), false))
        .isEqualTo("one\ntwo");
  }

  @Test
  void refusesPicturesForATextModel() throws IOException {
    ChatTemplate template = open(QWEN, false);
    ChatTurn turn = new ChatTurn("user", List.of(new Part.Image()));
    assertThatThrownBy(() -> template.render(List.of(turn), true))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("the user message has a picture, but the model takes text only");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ 7*7 }}",
        "{% raw %}{% endfor %}",
        "{# comment #}",
        "{{ raise_exception('x') }}",
        "<b> & \"quotes\" 'single' \\n",
        "  spaces \n\n lines \n",
        "été 日本 😀",
      })
  void textIsNeverReadAsTemplate(String text) throws IOException {
    for (boolean multimodal : new boolean[] {true, false}) {
      assertThat(
              open(CheckpointFixture.CHAT_TEMPLATE, multimodal)
                  .render(List.of(ChatTurn.of("user", text)), false))
          .isEqualTo("<|user|>" + text + "<end_of_utterance>");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiterString = "=>",
      quoteCharacter = '`',
      value = {
        "{{ messages | tojson }} => [{\"role\": \"user\", \"content\": \"Hi\"}]",
        "{{ [1, 2, []] | tojson }} => [1, 2, []]",
        "{{ messages[0].content.strip() }} => Hi",
        "{{ messages[0].content.upper() + messages[0].content.lower() }} => HIhi",
        "{{ 'a.b.c'.split('.')[-1] }}{{ 'a.b.c'.split('.', 1)[-1] }}{{ ' a  b '.split()[1] }} => cb.cb",
        "{{ '--a-'.lstrip('-') + '|' + '-b--'.rstrip('-') }} => a-|-b",
        "{{ messages[0].content.startswith('H') and messages[0].content.endswith('i') }} => true",
        "{{ messages[0].content.replace('i', 'o') }} => Ho",
        "{{ 'some title'.title() + 'x'.capitalize() }} => Some TitleX",
        "{{ 'i' in messages[0].content }} => true",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }} => 1",
        "{{ messages[-1]['role'] ~ (messages | length) }} => user1",
        "{{ 'yes' if tools is defined and tools else 'no' }} => no",
        "{{ bos_token }}{{ eos_token }} => <s></s>",
        "{# 'a' | none #}|none {{ '<|im_start|>' | trim }} => |none <|im_start|>",
        "{% for k, v in messages[0] | items %}{{ k }}{{ v }} {% endfor %}. => roleuser contentHi .",
        "{% macro hello(name) %}Hello {{ name }}{% endmacro %}{{ hello('you') }} => Hello you",
        "{{ messages[0].get('role') }}{{ messages[0].get('none', 'x') }} => userx",
        "{% for k, v in messages[0].items() %}{% if k == 'role' %}{{ v }}{% endif %}{% endfor %} => user",
      })
  void understandsWhatTemplatesUse(String source, String expected) throws IOException {
    assertThat(open(source, false).render(List.of(ChatTurn.of("user", "Hi")), false))
        .isEqualTo(expected);
  }

  @Test
  void knowsTheDate() throws IOException {
    assertThat(
            open("{{ strftime_now('%Y-%m-%d') }}", false)
                .render(List.of(ChatTurn.of("user", "Hi")), false))
        .matches("\\d{4}-\\d{2}-\\d{2}");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}",
        "{% from '/etc/passwd' import x %}",
        "{% extends '/etc/passwd' %}",
        "{{ ''.getClass().forName('java.lang.Runtime') }}",
        "{{ messages.getClass() }}",
        "{{ '{{ 1 }}' | render }}",
        "{{ no_such_function('a') }}",
        "{{ 'a|b' | no_such_filter }}",
        "{% if false %}{{ 'it\\'s }}' | trim|no_such_filter }}{% endif %}",
        "{% no_such_tag %}",
        "{% for m in messages %}",
        "{{ raise_exception('always') }}",
      })
  void aTemplateThatCannotWorkFailsWhenItIsLoaded(String source) throws IOException {
    writeTemplate(source, false);
    assertThatThrownBy(() -> ChatTemplate.open(folder))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("the chat template of " + folder + " cannot be used");
  }

  @Test
  void readsTemplatesFromTheirOtherPlaces() throws IOException {
    List<ChatTurn> turns = List.of(ChatTurn.of("user", "Hi"));
    ObjectNode config = new ObjectMapper().createObjectNode();
    config.putArray("chat_template").addObject().put("name", "tool_use").put("template", "no");
    config.withArray("chat_template").addObject().put("name", "default").put("template", "list");
    CheckpointFixture.writeJson(folder.resolve("tokenizer_config.json"), config);
    assertThat(ChatTemplate.open(folder).render(turns, false)).isEqualTo("list");
    Files.writeString(folder.resolve("chat_template.json"), "{\"chat_template\": \"json\"}");
    assertThat(ChatTemplate.open(folder).render(turns, false)).isEqualTo("json");
    Files.writeString(folder.resolve("chat_template.jinja"), "jinja\n");
    assertThat(ChatTemplate.open(folder).render(turns, false)).isEqualTo("jinja");
  }

  @Test
  void tellsAMissingTemplate() {
    assertThatThrownBy(() -> ChatTemplate.open(folder))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining(folder + " has no chat template; expected chat_template in");
  }

  private ChatTemplate open(String source, boolean multimodal) throws IOException {
    writeTemplate(source, multimodal);
    return ChatTemplate.open(folder);
  }

  private void writeTemplate(String source, boolean multimodal) throws IOException {
    ObjectNode config =
        new ObjectMapper().createObjectNode().put("chat_template", source).put("bos_token", "<s>");
    config.putObject("eos_token").put("content", "</s>");
    CheckpointFixture.writeJson(folder.resolve("tokenizer_config.json"), config);
    if (multimodal) {
      CheckpointFixture.writeJson(
          folder.resolve("preprocessor_config.json"), CheckpointFixture.preprocessorConfig());
    } else {
      Files.deleteIfExists(folder.resolve("preprocessor_config.json"));
    }
  }
}
