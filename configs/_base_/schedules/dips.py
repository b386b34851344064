# Official DiPS, decoder: SGD with Nesterov momentum, no weight decay, batch 32, a tenth of the learning rate every third
# epoch. The learning rate belongs to the data set; the paper searches it in 1e-4 to 1e-1. Stages set what the linear
# classifier has otherwise.
_base_ = ['../default_runtime.py']
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.))
param_scheduler = dict(type='StepLR', by_epoch=True, step_size=3, gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32, enable=False)
