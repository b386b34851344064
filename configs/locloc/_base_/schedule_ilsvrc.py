# Official LocLoc on ILSVRC, classifier: as on CUB, but 50 epochs, batch 4 x 128. The learning rate 1.5e-4 of the
# command line is for 512 images.
_base_ = ['./schedule_cub.py']
total_batch_size = 512
optim_wrapper = dict(optimizer=dict(lr=1.5e-4))
param_scheduler = dict(end=50)
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=total_batch_size)
generator_stage = dict(optim_wrapper=dict(optimizer=dict(lr=1e-3)))
masks_stage = paper_masks_stage = dict(model=dict(head=dict(num_classes=1000)))
