package io.epidote.engine.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.el.JinjavaInterpreterResolver;
import com.hubspot.jinjava.interpret.Context;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import com.hubspot.jinjava.tree.Node;
import io.epidote.engine.checkpoint.ConfigFile;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Pattern;
import jinjava.javax.el.CompositeELResolver;

/**
 * A model folder's chat template, which writes a conversation as the text that the model was
 * trained on. The template comes with the model and the text from anyone: neither can reach files,
 * Java objects or other templates, and text is never read as template. Safe for use by several
 * threads.
 */
public final class ChatTemplate {
  private static final long MAX_OUTPUT_BYTES = 64L << 20;

  private static final Set<String> FORBIDDEN_TAGS =
      Set.of("include", "import", "from", "extends", "block", "autoescape");
  private static final Set<String> FORBIDDEN_FILTERS = Set.of("render", "log", "fromyaml");

  /** A template that tells videos from other parts compares with this word. */
  private static final Pattern VIDEO_TYPE = Pattern.compile("['\"]video['\"]");

  private final Jinjava jinjava;
  private final String template;
  private final boolean multimodal;
  private final boolean knowsVideos;
  private final Map<String, Object> variables;

  /** Those that nobody uses now: as many as have been used at a time. */
  private final Queue<Renderer> renderers = new ConcurrentLinkedQueue<>();

  private ChatTemplate(String template, boolean multimodal, Map<String, Object> variables) {
    this.jinjava = newJinjava();
    this.template = template;
    this.multimodal = multimodal;
    this.knowsVideos = VIDEO_TYPE.matcher(template).find();
    this.variables = variables;
  }

  /**
   * Reads the template from {@code chat_template.jinja}, {@code chat_template.json} or {@code
   * tokenizer_config.json}, in this order as Hugging Face does, and tries it.
   *
   * @throws BadCheckpoint when there is none or it cannot render a question
   */
  public static ChatTemplate open(Path folder) {
    Optional<ConfigFile> config = ConfigFile.readIfPresent(folder.resolve("tokenizer_config.json"));
    Map<String, Object> variables = new HashMap<>();
    for (String name : List.of("bos_token", "eos_token", "pad_token", "unk_token")) {
      variables.put(name, config.map(file -> specialToken(file, name)).orElse(""));
    }
    TemplateSource source = TemplateSource.read(readSource(folder, config));
    boolean multimodal = Files.exists(folder.resolve("preprocessor_config.json"));
    ChatTemplate chatTemplate = new ChatTemplate(source.text(), multimodal, Map.copyOf(variables));
    chatTemplate.tryOut(folder, source.filters());
    return chatTemplate;
  }

  private static String readSource(Path folder, Optional<ConfigFile> tokenizerConfig) {
    Path jinja = folder.resolve("chat_template.jinja");
    if (Files.exists(jinja)) {
      try {
        return Files.readString(jinja);
      } catch (IOException e) {
        throw new BadCheckpoint("%s cannot be read: %s".formatted(jinja, e), e);
      }
    }
    return ConfigFile.readIfPresent(folder.resolve("chat_template.json"))
        .filter(file -> file.has("chat_template"))
        .or(() -> tokenizerConfig.filter(file -> file.has("chat_template")))
        .map(ChatTemplate::templateOf)
        .orElseThrow(() ->
            new BadCheckpoint(
                folder
                    + " has no chat template; expected chat_template in tokenizer_config.json,"
                    + " or chat_template.jinja"));
  }

  /** A string, or a list of named templates of which one is the default. */
  private static String templateOf(ConfigFile file) {
    String key = "chat_template";
    if (!file.value(key).map(JsonNode::isArray).orElse(false)) {
      return file.text(key);
    }
    return file.objects(key).stream()
        .filter(entry -> entry.text("name", "").equals("default"))
        .findFirst()
        .orElseThrow(() -> file.wrong(key, "a string or a list with a template named default"))
        .text("template");
  }

  /** A special token stands as a string or as an object with its content. */
  private static String specialToken(ConfigFile file, String key) {
    return file.value(key)
        .map(value -> value.isObject() ? value.path("content").asText() : value.asText())
        .orElse("");
  }

  private static Jinjava newJinjava() {
    CompositeELResolver resolver = new CompositeELResolver();
    resolver.add(new PythonStrings());
    resolver.add(JinjavaInterpreterResolver.DEFAULT_RESOLVER_READ_ONLY);
    Jinjava jinjava =
        new Jinjava(
            JinjavaConfig.newBuilder()
                .withNestedInterpretationEnabled(false)
                .withElResolver(resolver)
                .withMaxOutputSize(MAX_OUTPUT_BYTES)
                .withDisabled(
                    Map.of(
                        Context.Library.TAG, FORBIDDEN_TAGS,
                        Context.Library.FILTER, FORBIDDEN_FILTERS))
                .withLegacyOverrides(
                    LegacyOverrides.newBuilder()
                        .withEvaluateMapKeys(true)
                        .withIterateOverMapKeys(true)
                        .withUseNaturalOperatorPrecedence(true)
                        .withAllowAdjacentTextNodes(true)
                        .withUseTrimmingForNotesAndExpressions(true)
                        .withKeepNullableLoopValues(true)
                        .build())
                .build());
    Context context = jinjava.getGlobalContext();
    context.registerFunction(
        new ELFunctionDefinition(
            "", "raise_exception", TemplateFunctions.class, "raiseException", Object.class));
    context.registerFunction(
        new ELFunctionDefinition(
            "", "strftime_now", TemplateFunctions.class, "strftimeNow", Object.class));
    context.registerTag(new GenerationTag());
    context.registerFilter(new ToJsonFilter());
    context.registerFilter(new ItemsFilter());
    return jinjava;
  }

  /** A template that needs what Epidote's Jinja has not should fail when it is loaded. */
  private void tryOut(Path folder, Set<String> filters) {
    for (String filter : filters) {
      if (jinjava.getGlobalContext().getFilter(filter) == null) {
        throw new BadCheckpoint(
            "the chat template of %s cannot be used: there is no filter named %s"
                .formatted(folder, filter));
      }
    }
    List<Part> parts = new ArrayList<>(List.of(new Part.Text("text")));
    if (multimodal) {
      parts.addFirst(new Part.Image());
    }
    try {
      render(List.of(new ChatTurn("user", parts)), true);
    } catch (InvalidRequest e) {
      throw new BadCheckpoint(
          "the chat template of %s cannot be used: %s".formatted(folder, e.getMessage()), e);
    }
  }

  /**
   * Writes a conversation.
   *
   * @param addGenerationPrompt end with the words after which the model answers
   * @throws InvalidRequest when the template refuses the conversation, or it has pictures and the
   *     model takes text only
   */
  public String render(List<ChatTurn> turns, boolean addGenerationPrompt) {
    Map<String, Object> bindings = new HashMap<>(variables);
    bindings.put("messages", turns.stream().map(this::message).toList());
    bindings.put("add_generation_prompt", addGenerationPrompt);
    return rendered(bindings)
        .orElseGet(() -> {
          // Jinjava's own way, once more, finds out what is wrong and where.
          RenderResult result = jinjava.renderForResult(template, bindings);
          for (TemplateError error : result.getErrors()) {
            throw refused(error);
          }
          return result.getOutput();
        });
  }

  /** Empty when the template refuses the conversation. */
  private Optional<String> rendered(Map<String, Object> bindings) {
    try {
      Renderer free = renderers.poll();
      Renderer renderer = free == null ? new Renderer() : free;
      Optional<String> text = renderer.render(bindings);
      renderers.offer(renderer);
      return text;
    } catch (RuntimeException e) {
      // The renderer is let go, with whatever state it is in.
      return Optional.empty();
    }
  }

  /**
   * The template, parsed, with a copy of the global context, both of which Jinjava would make for
   * every conversation anew; that takes longer than to write one. For one conversation at a time:
   * rendering notes in the context which names it met, and nothing of what they stood for.
   */
  private final class Renderer {
    private final Context shared = jinjava.getGlobalContextCopy();
    private final Node root;

    Renderer() {
      JinjavaInterpreter parser = interpreter(Map.of());
      root = parser.parse(template);
      if (!parser.getErrorsCopy().isEmpty()) {
        throw new IllegalStateException("the template is malformed");
      }
    }

    private JinjavaInterpreter interpreter(Map<String, Object> bindings) {
      JinjavaConfig config = jinjava.getGlobalConfig();
      return new JinjavaInterpreter(
          jinjava, new Context(shared, bindings, config.getDisabled()), config);
    }

    Optional<String> render(Map<String, Object> bindings) {
      JinjavaInterpreter interpreter = interpreter(bindings);
      JinjavaInterpreter.pushCurrent(interpreter);
      try {
        String text = interpreter.render(root);
        return interpreter.getErrorsCopy().isEmpty() ? Optional.of(text) : Optional.empty();
      } finally {
        JinjavaInterpreter.popCurrent();
        shared.reset();
      }
    }
  }

  /** Keys in the order in which clients write them, which tojson shows. */
  private Map<String, Object> message(ChatTurn turn) {
    Map<String, Object> message = new LinkedHashMap<>();
    message.put("role", turn.role());
    message.put("content", multimodal ? parts(turn) : plainText(turn));
    return message;
  }

  private List<Map<String, String>> parts(ChatTurn turn) {
    List<Map<String, String>> parts = new ArrayList<>();
    for (Part part : turn.parts()) {
      Map<String, String> entry = new LinkedHashMap<>();
      switch (part) {
        case Part.Text(String text) -> {
          entry.put("type", "text");
          entry.put("text", text);
        }
        case Part.Image() -> entry.put("type", "image");
        case Part.Video() -> {
          // SmolVLM2's published templates know no videos; what they make of this text is what
          // its processor writes for one.
          entry.put("type", knowsVideos ? "video" : "text");
          if (!knowsVideos) {
            entry.put("text", Part.VIDEO);
          }
        }
      }
      parts.add(entry);
    }
    return parts;
  }

  private static String plainText(ChatTurn turn) {
    List<String> texts = new ArrayList<>();
    for (Part part : turn.parts()) {
      switch (part) {
        case Part.Text(String text) -> texts.add(text);
        case Part.Image(), Part.Video() ->
            throw new InvalidRequest(
                "the %s message has a picture, but the model takes text only; leave it out or choose"
                        .formatted(turn.role())
                    + " a model with a vision tower");
      }
    }
    return String.join("\n", texts);
  }

  private static InvalidRequest refused(TemplateError error) {
    for (Throwable cause = error.getException(); cause != null; cause = cause.getCause()) {
      if (cause instanceof TemplateFunctions.Raised raised) {
        return new InvalidRequest(
            "the model's chat template refuses the conversation: " + raised.getMessage(), raised);
      }
    }
    return new InvalidRequest(
        "the model's chat template cannot render the conversation: line %d: %s"
            .formatted(error.getLineno(), error.getMessage()));
  }
}
