package io.epidote.engine.model;

import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.inference.Predictor;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.nn.Block;
import ai.djl.translate.NoopTranslator;
import ai.djl.translate.TranslateException;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession.SessionOptions;
import io.epidote.engine.error.EpidoteException.Internal;
import io.epidote.engine.kernel.Operator;
import io.epidote.engine.kernel.OperatorDomain;
import io.epidote.engine.kernel.SessionAllocator;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** One graph, loaded through DJL on ONNX Runtime. Used by one thread. */
final class LoadedGraph implements AutoCloseable {
  private final Model model;
  private final Predictor<NDList, NDList> predictor;
  private final SessionOptions options;
  private final OperatorDomain operators;
  private final SessionAllocator allocator;
  private final Path weightFile;

  /** What the session holds before its first step. */
  private final long loadedBytes;

  private final long weightCopies;

  private LoadedGraph(
      Model model,
      Predictor<NDList, NDList> predictor,
      SessionOptions options,
      OperatorDomain operators,
      Path entry,
      boolean prepacked) {
    this.model = model;
    this.predictor = predictor;
    this.options = options;
    this.operators = operators;
    this.weightFile = entry.resolve(GraphCache.WEIGHTS);
    this.allocator = operators.allocatorOf(session(model.getBlock()));
    this.loadedBytes = allocator.inUse();
    this.weightCopies = weightCopies(prepacked);
  }

  /** Loads {@code model.onnx} of a cache entry, which may use Epidote's own operators. */
  static LoadedGraph open(Path entry, RuntimeOptions runtime, List<Operator> operators) {
    Engine engine = loadEngine(runtime.cache());
    SessionOptions options = sessionOptions(runtime);
    OperatorDomain domain = new OperatorDomain(operators, runtime.threads(), ownThreads(runtime));
    domain.register(address(options));
    Model model = engine.newModel("model", null);
    try {
      model.load(entry, "model", Map.of("sessionOptions", options));
      return new LoadedGraph(
          model,
          model.newPredictor(new NoopTranslator(null)),
          options,
          domain,
          entry,
          runtime.prepack());
    } catch (IOException | MalformedModelException e) {
      model.close();
      options.close();
      domain.close();
      throw new Internal("The graph in " + entry + " cannot be loaded: " + e.getMessage(), e);
    }
  }

  /**
   * To be called before any OrtEnvironment exists, or DJL and ONNX Runtime disagree about the
   * environment.
   *
   * @param cache folder for graphs and converted weights, which has its libraries too
   */
  static Engine loadEngine(Path cache) {
    RuntimeLibraries.place(cache);
    return Engine.getEngine("OnnxRuntime");
  }

  /** Whether our own operators do all that takes long. */
  private static boolean ownThreads(RuntimeOptions runtime) {
    return runtime.precision() != Precision.INT4;
  }

  private static SessionOptions sessionOptions(RuntimeOptions runtime) {
    try {
      SessionOptions options = new SessionOptions();
      options.setOptimizationLevel(SessionOptions.OptLevel.ALL_OPT);
      options.setIntraOpNumThreads(runtime.threads());
      options.setInterOpNumThreads(1);
      // Threads spin between the operators of a step, which are microseconds apart, but not between
      // steps: several processes share the cores.
      options.addConfigEntry("session.force_spinning_stop", "1");
      options.addConfigEntry("session.intra_op.allow_spinning", ownThreads(runtime) ? "0" : "1");
      if (!runtime.prepack()) {
        options.addConfigEntry("session.disable_prepacking", "1");
      }
      return options;
    } catch (OrtException e) {
      throw new Internal("ONNX Runtime rejects a session option: " + e.getMessage(), e);
    }
  }

  /** ONNX Runtime's Java interface registers operators of native libraries only. */
  private static long address(SessionOptions options) {
    try {
      Method handle = SessionOptions.class.getDeclaredMethod("getNativeHandle");
      handle.setAccessible(true);
      return (long) handle.invoke(options);
    } catch (ReflectiveOperationException e) {
      throw new Internal("This version of ONNX Runtime hides its session options: " + e, e);
    }
  }

  /** Neither DJL nor ONNX Runtime's Java interface tells what a session's allocator holds. */
  private static long session(Block block) {
    try {
      Object session = field(block, "session");
      return (long) field(session, "nativeHandle");
    } catch (ReflectiveOperationException e) {
      throw new Internal("This version of DJL or ONNX Runtime hides its session: " + e, e);
    }
  }

  private static Object field(Object owner, String name) throws ReflectiveOperationException {
    Field field = owner.getClass().getDeclaredField(name);
    field.setAccessible(true);
    return field.get(owner);
  }

  /** What the session takes of memory. */
  ModelMemory memory() {
    return new ModelMemory(
        weightFile.toString(), weightCopies, allocator.mostInUse() - loadedBytes);
  }

  private long weightCopies(boolean prepacked) {
    if (prepacked) {
      return plan().copiedBytes() == 0 ? 0 : loadedBytes;
    }
    // Without prepacking the allocator counts all weights, too, although they are used where they
    // are mapped: it sets memory aside for them that is never touched.
    return Math.max(0, loadedBytes - weightBytes());
  }

  private GraphPlan plan() {
    try {
      return GraphPlan.of(
          Files.readAllBytes(weightFile.resolveSibling(GraphCache.MODEL)), weightBytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Bytes of the weights' file. */
  long weightBytes() {
    try {
      return Files.size(weightFile);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A manager for input arrays; the caller closes it. */
  NDManager newManager() {
    return model.getNDManager().newSubManager();
  }

  /** Runs the graph. The caller closes the result. */
  NDList run(NDList inputs) {
    operators.begin();
    try {
      return predictor.predict(inputs);
    } catch (TranslateException e) {
      throw new Internal(
          "The model's step failed: " + e.getMessage(), operators.takeFailure().orElse(e));
    } finally {
      operators.end();
    }
  }

  @Override
  public void close() {
    predictor.close();
    allocator.close();
    model.close();
    options.close();
    operators.close();
  }
}
