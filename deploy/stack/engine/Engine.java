package cpq.stack;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** The one class a Spring Boot application needs: the engine's starter on the class path does the rest. */
@SpringBootApplication
public class Engine {
    public static void main(String[] arguments) {
        SpringApplication.run(Engine.class, arguments);
    }
}
