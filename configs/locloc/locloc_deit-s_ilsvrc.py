# LocLoc (Cao et al., ACM MM 2023), DeiT-S/16 at 224 on ILSVRC2012: masks from DINO's attention, then the generator of
# maps, then the classifier, both on one frozen DeiT-S.
_base_ = [
    './_base_/deit-s.py',
    './_base_/schedule_ilsvrc.py',
    '../_base_/datasets/ilsvrc.py',
]
model = dict(head=dict(num_classes=1000), map_to_box=dict(threshold=0.4))
train_dataloader = dict(
    batch_size={{_base_.total_batch_size}},
    drop_last=True,
    dataset=dict(pipeline={{_base_.train_pipeline}}),
    sampler=dict(type='mmpretrain.RepeatAugSampler'))  # an epoch has a third of the images, thrice each
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='locloc', gt_mode='any'),
    dict(type='mmwsol.LocAccuracy', protocol='locloc', prefix='loc_first'),  # official code: only the first box
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short', map_class='agnostic'),
]
stages = [{{_base_.masks_stage}}, {{_base_.generator_stage}}, dict(name='classifier')]
