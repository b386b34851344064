# wsolevaluation's CAM on ILSVRC: 10 epochs, batch 32. Learning rate, weight decay and the layers that learn ten times
# faster belong to the network.
optim_wrapper = dict(optimizer=dict(type='SGD', momentum=0.9, nesterov=True))
# The official step rule divides at the start of every 3rd epoch (epochs counted from 1).
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[2, 5, 8], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32, enable=False)
