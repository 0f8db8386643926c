# One peer on one data set: Rscript mixed_models.R DATA.csv FORMULA fit|satterthwaite|kenward-roger
# Prints one line of JSON: CPU seconds, peak memory of R in MB, log-likelihood.
arguments <- commandArgs(trailingOnly = TRUE)
suppressMessages({library(lme4); library(lmerTest)})
data <- read.csv(arguments[1], stringsAsFactors = TRUE)
for (name in setdiff(names(data), c("score", "y"))) data[[name]] <- factor(data[[name]], levels = unique(data[[name]]))
formula <- as.formula(arguments[2])
start <- proc.time()
if (arguments[3] == "fit") {
  fit <- lme4::lmer(formula, data)
} else {
  fit <- lmerTest::lmer(formula, data)
  invisible(summary(fit))
  if (arguments[3] == "kenward-roger") invisible(summary(fit, ddf = "Kenward-Roger"))
}
used <- proc.time() - start
peak <- tryCatch(as.numeric(sub("\\D+(\\d+).*", "\\1", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024,
                 error = function(e) NA)
cat(sprintf('{"cpu_s": %.4f, "peak_mb": %.0f, "loglik": %.10f}\n',
            used[["user.self"]] + used[["sys.self"]], peak, as.numeric(logLik(fit))))
