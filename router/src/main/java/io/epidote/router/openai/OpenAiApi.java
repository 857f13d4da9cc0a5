package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.metrics.MetricsPage;
import io.epidote.proto.v1.Stage;
import io.epidote.router.access.ApiKeys;
import io.epidote.router.access.Caller;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.media.MediaFetch;
import io.epidote.router.request.AnswerListener;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.RequestFlow;
import io.epidote.router.request.RunningRequest;
import io.epidote.router.request.ServedModel;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The paths of the HTTP front door. Thread-safe. */
public final class OpenAiApi {
  private static final Logger log = LoggerFactory.getLogger(OpenAiApi.class);
  private static final String CHAT = "/v1/chat/completions";
  private static final String COMPLETIONS = "/v1/completions";
  private static final String MODELS = "/v1/models";

  /** For whom a key is not asked. */
  private static final Set<String> KEYLESS = Set.of("/healthz", "/readyz");

  private final RequestFlow flow;
  private final Cluster cluster;
  private final MetricsPage metrics;
  private final ApiKeys keys;
  private final Executor threads;
  private final WebPaths others;
  private final JsonBodies bodies;
  private final ChatRequestReader chats;
  private final CompletionRequestReader completions;
  private final TokenCalls tokens;
  private final long startedSeconds = System.currentTimeMillis() / 1000;

  /**
   * @param keys by which clients are known
   * @param fetch of media that clients name
   * @param maxBody largest body in bytes
   * @param threads for work that blocks or takes long: virtual threads
   * @param others paths besides the API's
   */
  public OpenAiApi(
      RequestFlow flow,
      Cluster cluster,
      MetricsPage metrics,
      ApiKeys keys,
      MediaFetch fetch,
      long maxBody,
      Executor threads,
      WebPaths others) {
    this.flow = flow;
    this.cluster = cluster;
    this.metrics = metrics;
    this.keys = keys;
    this.threads = threads;
    this.others = others;
    this.bodies = new JsonBodies(maxBody);
    this.chats = new ChatRequestReader(flow.model(), fetch);
    this.completions = new CompletionRequestReader(flow.model());
    this.tokens = new TokenCalls(flow.model(), chats);
  }

  /**
   * Who sends a request, before its body has come. Probes need no key, nor do the page's own files:
   * a browser cannot show one before the page has asked for it.
   *
   * @throws EpidoteException.Unauthenticated when a key is asked for, and this is none
   */
  Caller caller(HttpRequest head) {
    String path = path(head.uri());
    return KEYLESS.contains(path) || others.isOpen(path)
        ? Caller.ANYBODY
        : keys.caller(head.headers().get(HttpHeaderNames.AUTHORIZATION));
  }

  private static String path(String uri) {
    int query = uri.indexOf('?');
    return query < 0 ? uri : uri.substring(0, query);
  }

  /** Answers an exchange; returns at once, so that the event loop goes on. */
  void handle(Exchange exchange) {
    threads.execute(() -> {
      try {
        exchange.traceParent().run(() -> route(exchange));
      } catch (InvalidField e) {
        exchange.respond(HttpError.field(e));
      } catch (EpidoteException e) {
        exchange.respond(HttpError.of(e));
      } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
        log.atError()
            .addKeyValue("request_id", exchange.requestId())
            .setCause(e)
            .log("Request {} met a defect", exchange.requestId());
        exchange.respond(
            HttpError.internal(
                "Internal error (%s); the router's log has the details."
                    .formatted(e.getClass().getSimpleName())));
      }
    });
  }

  private void route(Exchange exchange) {
    String uri = exchange.uri();
    String path = path(uri);
    if (path.equals(CHAT)) {
      if (allowed(exchange, path, HttpMethod.POST)) {
        ApiCall call = chats.read(bodies.parse(exchange.takeBody()), head(exchange));
        answer(exchange, call, ChatJson::new);
      }
    } else if (path.equals(COMPLETIONS)) {
      if (allowed(exchange, path, HttpMethod.POST)) {
        ApiCall call = completions.read(bodies.parse(exchange.takeBody()), head(exchange));
        answer(exchange, call, CompletionJson::new);
      }
    } else if (path.equals("/tokenize")) {
      if (allowed(exchange, path, HttpMethod.POST)) {
        json(exchange, tokens.tokenize(bodies.parse(exchange.takeBody())));
      }
    } else if (path.equals("/detokenize")) {
      if (allowed(exchange, path, HttpMethod.POST)) {
        json(exchange, tokens.detokenize(bodies.parse(exchange.takeBody())));
      }
    } else if (path.equals(MODELS)) {
      if (allowed(exchange, path, HttpMethod.GET)) {
        models(exchange);
      }
    } else if (path.startsWith(MODELS + "/")) {
      if (allowed(exchange, path, HttpMethod.GET)) {
        model(exchange, decode(path.substring(MODELS.length() + 1)));
      }
    } else if (path.equals("/healthz")) {
      if (allowed(exchange, path, HttpMethod.GET)) {
        json(exchange, JsonNodeFactory.instance.objectNode().put("status", "ok"));
      }
    } else if (path.equals("/readyz")) {
      if (allowed(exchange, path, HttpMethod.GET)) {
        ready(exchange);
      }
    } else if (path.equals("/metrics")) {
      if (allowed(exchange, path, HttpMethod.GET)) {
        MetricsPage.Content page = metrics.read(exchange.accept());
        exchange.respond(HttpResponseStatus.OK, page.type(), page.bytes());
      }
    } else {
      other(exchange, path, uri.substring(Math.min(uri.length(), path.length() + 1)));
    }
  }

  private void other(Exchange exchange, String path, String query) {
    Optional<WebPaths.Reply> reply = others.get(path, query);
    if (reply.isEmpty()) {
      exchange.respond(HttpError.noSuchPath(path));
    } else if (allowed(exchange, path, HttpMethod.GET)) {
      exchange.respond(reply.get());
    }
  }

  private static boolean allowed(Exchange exchange, String path, HttpMethod method) {
    if (exchange.method().equals(method)) {
      return true;
    }
    exchange.respond(
        HttpError.wrongMethod(exchange.method().name(), path, method.name()), method.name());
    return false;
  }

  private CallHead head(Exchange exchange) {
    return new CallHead(
        flow.freeId(exchange.requestId()),
        exchange.said().cacheSalt(),
        exchange.said().slo(),
        exchange.tenant());
  }

  /** How a call's answers are written. */
  private interface Writer {
    AnswerJson of(ApiCall call, ServedModel model, long createdSeconds);
  }

  private void answer(Exchange exchange, ApiCall asked, Writer writer) {
    ApiCall call = asked.with(flow::addressed);
    AnswerJson json = writer.of(call, flow.model(), System.currentTimeMillis() / 1000);
    AnswerListener answer =
        call.stream()
            ? new StreamedAnswer(exchange, call, json)
            : new WholeAnswer(exchange, call, json);
    if (call.requests().size() == 1) {
      RunningRequest admitted = flow.admit(call.request(), exchange.arrivalNanos(), answer);
      exchange.onDisconnect(admitted::cancel);
      admitted.run();
    } else {
      startAll(exchange, call, answer);
    }
  }

  private void startAll(Exchange exchange, ApiCall call, AnswerListener answer) {
    SeveralPrompts prompts =
        new SeveralPrompts(answer, call.requests().size(), call.request().choices());
    try {
      for (int i = 0; i < call.requests().size(); i++) {
        prompts.add(
            flow.start(call.requests().get(i), exchange.arrivalNanos(), prompts.listener(i)));
      }
    } catch (EpidoteException e) {
      prompts.cancel();
      throw e;
    }
    exchange.onDisconnect(prompts::cancel);
  }

  private void models(Exchange exchange) {
    ObjectNode root = JsonNodeFactory.instance.objectNode().put("object", "list");
    ArrayNode data = root.putArray("data").add(describe());
    cluster.adapters().forEach(adapter -> data.add(describe(adapter)));
    json(exchange, root);
  }

  private void model(Exchange exchange, String id) {
    String name = flow.model().name();
    if (id.startsWith(name + GenerationRequest.ADAPTER)) {
      String adapter = id.substring(name.length() + 1);
      if (cluster.adapters().contains(adapter)) {
        json(exchange, describe(adapter));
        return;
      }
    }
    if (!id.equals(name)) {
      throw new EpidoteException.NotFound(
          "The model \"%s\" is not served here; this router serves \"%s\"."
              .formatted(id.length() > 100 ? id.substring(0, 100) + "…" : id, name));
    }
    json(exchange, describe());
  }

  private ObjectNode describe(String adapter) {
    String name = flow.model().name();
    return describe().put("id", name + GenerationRequest.ADAPTER + adapter).put("parent", name);
  }

  private ObjectNode describe() {
    return JsonNodeFactory.instance
        .objectNode()
        .put("id", flow.model().name())
        .put("object", "model")
        .put("created", startedSeconds)
        .put("owned_by", "epidote")
        .put("max_model_len", flow.model().contextTokens());
  }

  private void ready(Exchange exchange) {
    List<Stage> missing = cluster.missingStages();
    ObjectNode root =
        JsonNodeFactory.instance
            .objectNode()
            .put("status", missing.isEmpty() ? "ready" : "not ready");
    ArrayNode names = root.putArray("missing_stages");
    missing.forEach(stage -> names.add(StageNames.of(stage)));
    if (!missing.isEmpty()) {
      root.put("message", Cluster.missingMessage(missing));
    }
    exchange.respond(
        missing.isEmpty() ? HttpResponseStatus.OK : HttpResponseStatus.SERVICE_UNAVAILABLE,
        HttpHeaderValues.APPLICATION_JSON,
        root.toString().getBytes(StandardCharsets.UTF_8));
  }

  private static void json(Exchange exchange, ObjectNode body) {
    exchange.respond(
        HttpResponseStatus.OK,
        HttpHeaderValues.APPLICATION_JSON,
        body.toString().getBytes(StandardCharsets.UTF_8));
  }

  private static String decode(String path) {
    try {
      return URLDecoder.decode(path.replace("+", "%2B"), StandardCharsets.UTF_8);
    } catch (IllegalArgumentException e) {
      return path;
    }
  }
}
