/* The loader, an instance, and what the validation layer says. The driver's loader is opened at run
 * time: a machine without one is told so. */
#define VOLK_IMPLEMENTATION
#include "backend/vk_device.h"

#include "base/os.h"

#include <stdio.h>

#define LAYER_NAME     "VK_LAYER_KHRONOS_validation"
#define PROPERTIES_MAX 512

/* volk keeps its functions in globals. They are the loader's, the same for every instance: read
 * once, so that other threads' backends never see them change. */
static pthread_mutex_t loader_lock = PTHREAD_MUTEX_INITIALIZER;
static bool loader_found, functions_found;

static bool has_instance_extension(const char *name) {
    uint32_t count = PROPERTIES_MAX;
    VkExtensionProperties *list = os_alloc(count * sizeof *list);
    if (!list) return false;
    VkResult result = vkEnumerateInstanceExtensionProperties(NULL, &count, list);
    bool found = false;
    for (uint32_t i = 0; result >= 0 && i < count && !found; i++)
        found = strcmp(list[i].extensionName, name) == 0;
    os_free(list);
    return found;
}

static bool has_layer(const char *name) {
    uint32_t count = PROPERTIES_MAX;
    VkLayerProperties *list = os_alloc(count * sizeof *list);
    if (!list) return false;
    VkResult result = vkEnumerateInstanceLayerProperties(&count, list);
    bool found = false;
    for (uint32_t i = 0; result >= 0 && i < count && !found; i++)
        found = strcmp(list[i].layerName, name) == 0;
    os_free(list);
    return found;
}

/* Shaders report bad data through one buffer without order between them, which is meant. */
static bool is_meant(const char *message) {
    return strstr(message, "SYNC-HAZARD") && strstr(message, "[faults]");
}

static VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                      VkDebugUtilsMessageTypeFlagsEXT types,
                                      const VkDebugUtilsMessengerCallbackDataEXT *data,
                                      void *context) {
    vk_instance *instance = context;
    (void)severity, (void)types;
    const char *message = data->pMessage ? data->pMessage : "no message";
    if (is_meant(message)) return VK_FALSE;
    pthread_mutex_lock(&instance->lock);
    if (!instance->complaint[0])
        snprintf(instance->complaint, sizeof instance->complaint, "%s", message);
    pthread_mutex_unlock(&instance->lock);
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(vk_instance *instance) {
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = instance,
    };
}

static int watch(vk_instance *instance, weft_error *err) {
    PFN_vkCreateDebugUtilsMessengerEXT create =
        (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(instance->handle,
                                                                  "vkCreateDebugUtilsMessengerEXT");
    instance->messenger_destroy = (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
        instance->handle, "vkDestroyDebugUtilsMessengerEXT");
    VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(instance);
    if (create && instance->messenger_destroy &&
        create(instance->handle, &info, NULL, &instance->messenger) == VK_SUCCESS)
        return WEFT_OK;
    return err_set(err, WEFT_ERR_DEVICE, "the Vulkan validation layer gives no messages");
}

static int create(vk_instance *instance, bool validate, weft_error *err) {
    const char *extensions[4], *layers[] = {LAYER_NAME};
    static const VkValidationFeatureEnableEXT checks[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkDebugUtilsMessengerCreateInfoEXT messages = messenger_info(instance);
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messages,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = checks,
    };
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "weft",
                             .apiVersion = instance->api};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app,
                                 .ppEnabledExtensionNames = extensions};
    if (has_instance_extension(VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[info.enabledExtensionCount++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    if (validate) {
        extensions[info.enabledExtensionCount++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        info.pNext = &features;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = layers;
    }
    VkResult result = vkCreateInstance(&info, NULL, &instance->handle);
    if (result == VK_SUCCESS) {
        if (!functions_found) volkLoadInstanceOnly(instance->handle);
        functions_found = true;
        return WEFT_OK;
    }
    instance->handle = VK_NULL_HANDLE;
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return err_set(err, WEFT_ERR_UNSUPPORTED,
                       "no Vulkan driver was found: install the GPU's, or use the cpu");
    return err_set(err, WEFT_ERR_DEVICE, "Vulkan could not be started (%s)",
                   vk_result_text(result));
}

static int open_locked(bool validate, vk_instance *instance, weft_error *err) {
    if (!loader_found) loader_found = volkInitialize() == VK_SUCCESS;
    if (!loader_found)
        return err_set(
            err, WEFT_ERR_UNSUPPORTED,
            "the Vulkan loader (libvulkan.so.1) was not found: install the GPU's driver, "
            "or use the cpu");
    uint32_t api = volkGetInstanceVersion();
    if (api < VK_API_VERSION_1_1)
        return err_set(err, WEFT_ERR_UNSUPPORTED, "the Vulkan loader is older than Vulkan 1.1");
    instance->api = api < VK_API_VERSION_1_3 ? api : VK_API_VERSION_1_3;
    if (validate && !has_layer(LAYER_NAME))
        return err_set(err, WEFT_ERR_UNSUPPORTED, "%s is not installed", LAYER_NAME);
    TRY(create(instance, validate, err));
    return validate ? watch(instance, err) : WEFT_OK;
}

int vk_instance_open(bool validate, vk_instance *instance, weft_error *err) {
    *instance = (vk_instance){.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_mutex_lock(&loader_lock);
    int rc = open_locked(validate, instance, err);
    if (rc) vk_instance_close(instance);
    pthread_mutex_unlock(&loader_lock);
    return rc;
}

void vk_instance_close(vk_instance *instance) {
    if (!instance->handle) return;
    if (instance->messenger)
        instance->messenger_destroy(instance->handle, instance->messenger, NULL);
    vkDestroyInstance(instance->handle, NULL);
    instance->handle = VK_NULL_HANDLE;
    instance->messenger = VK_NULL_HANDLE;
}

const char *vk_result_text(VkResult result) {
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "initialisation failed";
    case VK_ERROR_DEVICE_LOST:
        return "device lost";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "a layer is missing";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "an extension is missing";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "a feature is missing";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "incompatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "too many objects";
    case VK_ERROR_INVALID_SHADER_NV:
        return "invalid shader";
    default:
        return "an unknown error of the driver";
    }
}
